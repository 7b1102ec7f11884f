"""Preparations that are killed at random moments or run out of disk: nothing of them is ever used.

`python -m tests.lab.planning.test_interrupted_preparation FOLDER KILLS` does the same for longer.
"""

import os
import random
import resource
import signal
import sys
import time
from pathlib import Path

import pytest

from lab.core.errors import UserError
from lab.data.source_files import check_tokens
from lab.planning import text_stamp
from lab.planning.preparation_cache import FOLDER, PreparationCache
from lab.planning.prepare_run import prepare_run
from lab.planning.settings_table import RunRequest
from lab.runs.find_runs import list_runs
from lab.runs.run_folder import tokenizer_of
from tests.lab.training.module_forker import ModuleForker

KILLS = 4
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)


def ask(folder: Path, home: str = "home") -> RunRequest:
    return RunRequest(text=str(folder / "text.txt"), vocab=300, preset="nano", context=16, steps=5, home=folder / home)


def kill_preparations(folder: Path, kills: int, seed: int) -> None:
    """Prepare the same text again and again in forks of this process, which are killed at random moments."""
    prepare_run.__globals__["LEAST_TEXT"] = 1
    text_stamp.SETTLED_SECONDS = -3600.0
    chosen = random.Random(seed)
    started = time.monotonic()
    _wait_for(_fork(folder, "timed"))
    took = time.monotonic() - started
    for number in range(kills):
        if number % 3 == 0:
            PreparationCache(folder / "home").empty()
        pid = _fork(folder, "home")
        time.sleep(took * chosen.random())
        os.kill(pid, SIGNALS[number % len(SIGNALS)])
        _wait_for(pid)
        check(folder / "home")
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))  # bytes of a file: as a full disk, at some write
    assert _wait_for(_fork(folder, "full")) == 3
    assert os.listdir(folder / "full") == [FOLDER]


def _fork(folder: Path, home: str) -> int:
    pid = os.fork()
    if pid:
        return pid
    code = 5  # a fault: any error that is no sentence for the user
    try:
        prepare_run(ask(folder, home))
        code = 0
    except KeyboardInterrupt:
        code = 2
    except UserError as error:
        code = 3 if "file too large" in str(error) else 4
    finally:
        os._exit(code)


def _wait_for(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def check(home: Path) -> None:
    """Check that every run there is whole."""
    for run in list_runs(home):
        assert tokenizer_of(run).vocab_size == 300
        check_tokens(run)


def main(arguments: list[str]) -> int:
    folder, kills = arguments
    kill_preparations(Path(folder), int(kills), seed=int(kills))
    return 0


def test_preparations_killed_at_random_moments_and_on_a_full_disk_leave_nothing_half_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, forker: ModuleForker
) -> None:
    words, log = random.Random(1), tmp_path / "log"
    (tmp_path / "text.txt").write_text(
        "".join(
            "".join(words.choices("abcdefghij", k=words.randrange(1, 9))) + " \n"[words.random() < 0.1] for _ in range(40_000)
        )
    )
    pid = forker.fork(__name__, [str(tmp_path), str(KILLS)], log=log)
    assert forker.code_of(pid) == 0, log.read_text()
    monkeypatch.setattr("lab.planning.prepare_run.LEAST_TEXT", 1)
    last, fresh = prepare_run(ask(tmp_path)), prepare_run(ask(tmp_path, "fresh"))
    for name in ("tokens.bin", "tokenizer.json"):
        assert (last.path / name).read_bytes() == (fresh.path / name).read_bytes()
    assert last.config.data == fresh.config.data
    runs = {run.name for run in list_runs(tmp_path / "home")}
    assert set(os.listdir(tmp_path / "home")) == {*runs, FOLDER}
    assert not [name for name in os.listdir(tmp_path / "home" / FOLDER) if name.startswith(".")]


if __name__ == "__main__":
    main(sys.argv[1:])
