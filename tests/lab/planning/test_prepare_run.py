import os
import time
import traceback
from collections.abc import Callable
from itertools import groupby
from pathlib import Path
from types import SimpleNamespace

import msgspec
import numpy as np
import pytest

from lab.core import machine
from lab.core.errors import UserError
from lab.core.unfinished_folder import UNTOUCHED, owner
from lab.data.default_prompts import prompt_from_text
from lab.planning.default_hyperparameters import default_vocabulary
from lab.planning.prepare_run import prepare_run
from lab.planning.prepare_text import PrepareProgress
from lab.planning.settings_table import RunRequest
from lab.runs.find_runs import list_runs, open_run
from lab.runs.run_folder import Run
from lab.runs.run_schema import RunConfig
from models.tokenizers.tokenizer import Tokenizer
from tests.lab.conftest import TALE


def ask(text: Path | str, **settings: object) -> RunRequest:
    small = {"preset": "nano", "tokenizer": "bytes", "context": 16}
    return RunRequest(text=str(text), **(small | settings))  # type: ignore[arg-type]


@pytest.fixture
def tale(tmp_path: Path) -> Path:
    path = tmp_path / "tale.txt"
    path.write_text(TALE)
    return path


def test_a_run_holds_its_text_as_tokens_its_tokenizer_and_what_was_asked(tale: Path, home: Path) -> None:
    run = prepare_run(ask(tale, tokenizer="bpe", vocab=300, steps=7, lr=0.5, heads=4, prompts=("The",)))
    assert run.path == home / "tale"
    assert sorted(os.listdir(run.path)) == ["config.json", "tokenizer.json", "tokens.bin"]
    config = msgspec.json.decode((run.path / "config.json").read_bytes(), type=RunConfig)
    assert config == run.config == open_run("tale").config
    tokenizer = Tokenizer.load(run.tokenizer_path)
    ids = np.fromfile(run.tokens_path, "<u2")
    assert tokenizer.decode(ids.tolist()) == TALE
    data, train = config.data, config.train
    assert (data.tokens, data.bytes, data.characters) == (len(ids), len(TALE), len(TALE))
    assert data.train_bytes == len(tokenizer.decode_bytes(ids[: data.split].tolist()))
    assert data.train_bytes + data.val_bytes == data.bytes
    assert config.model.heads == 4
    assert config.model.vocab_size == config.tokenizer.vocab_size == tokenizer.vocab_size
    assert (train.steps, train.minutes, train.lr, train.prompts) == (7, None, 0.5, ("The",))
    assert run.phase() == "stopped"


def test_names_follow_the_text_and_count_on(tale: Path, home: Path) -> None:
    assert [prepare_run(ask(tale)).name for _ in range(3)] == ["tale", "tale-2", "tale-3"]
    assert prepare_run(ask(tale, name="other tale", minutes=2.0)).config.train.steps is None
    odd = tale.with_name("…what: a *tale*?.txt")
    odd.write_text(TALE)
    assert prepare_run(ask(odd)).name == "…what- a -tale"
    demo = tale.with_name("demo.txt")
    demo.write_text(TALE)
    assert prepare_run(ask(demo)).name == "text"
    assert len(list_runs()) == 6


def test_progress_goes_through_the_stages(tale: Path, home: Path) -> None:
    told: list[PrepareProgress] = []
    prepare_run(ask(tale, tokenizer="bpe"), told.append)
    assert [stage for stage, _ in groupby(progress.stage for progress in told)] == ["reading", "learning", "encoding"]
    assert told[-1].fraction == 1.0


MISTAKES = [
    ({"name": "taken"}, "There is a run called taken already"),
    ({"preset": "huge"}, "no preset called 'huge'; choose one of nano, micro"),
    ({"steps": 5, "minutes": 1.0}, "give only one"),
    ({"minutes": 0.0}, "minutes must be above 0"),
    ({"eval_every": 0}, "eval every must be at least 1"),
    ({"heads": 7}, "width 64 cannot be divided among 7 heads"),
    ({"context": 500}, "too short for a context of 500 tokens: it has .* use a longer text or a context of at most"),
    ({"tokenizer": "bpe", "vocab": 256}, "256 is too small"),
    ({"vocab": 300}, "The bytes tokenizer has 256 tokens"),
    ({"encoding": "utf-99"}, "utf-99"),
    ({"device": "tpu"}, "no device called 'tpu'"),
    ({"device": "cuda"}, "device cuda cannot be used: there is none"),
]


@pytest.mark.parametrize(("settings", "sentence"), MISTAKES, ids=[str(next(iter(settings.items()))) for settings, _ in MISTAKES])
def test_a_mistake_is_one_sentence_and_leaves_nothing(
    settings: dict[str, object], sentence: str, tale: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lab.planning.device.no_cuda_reason", lambda: "there is none")
    assert machine.no_cuda_reason
    (home / "taken").mkdir()
    with pytest.raises(UserError, match=sentence) as told:
        prepare_run(ask(tale, **settings))
    assert "\n" not in str(told.value)
    assert os.listdir(home) == ["taken"]


def test_texts_that_cannot_be_learned_from_leave_not_even_a_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLMLAB_HOME", str(tmp_path / "new" / "home"))
    (tmp_path / "short.txt").write_text("ten bytes.")
    (tmp_path / "empty.txt").touch()
    (tmp_path / "binary.bin").write_bytes(bytes(range(256)) * 100)
    (tmp_path / "latin.txt").write_bytes(("é" * 5000).encode("latin-1"))
    for text in ("nowhere.txt", ".", "empty.txt", "binary.bin", "latin.txt", "short.txt"):
        with pytest.raises(UserError):
            prepare_run(ask(tmp_path / text))
    assert not (tmp_path / "new" / "home").exists()


def test_a_home_that_cannot_be_written_is_told_in_words(tale: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"Cannot make a run in .*: (not a directory|file exists)\."):
        prepare_run(ask(tale, home=tmp_path / "file"))


def test_what_killed_preparations_left_is_removed_and_what_living_ones_write_is_not(tale: Path, home: Path) -> None:
    dead = 999_999_999  # no process has this number
    host, here = os.uname().nodename, owner().split("@")[0].split("-")[-1]
    there = int(here) + 1  # the process numbers of another container, which may have this host's name
    (home / f".preparing-99999999999-1@{host}").mkdir()
    gone = (f"{dead}-1-{here}@{host}", f"{dead}-1@{host}", f"{os.getppid()}-1-{there}@{host}")
    living = (f"{os.getppid()}-1-{here}@{host}", f"{dead}-1-{here}@elsewhere", f"{dead}-1-{there}@{host}")
    for each in (*gone, *living):
        folder = home / f".preparing-{each}"
        folder.mkdir()
        (folder / "tokens.bin").touch()
    untouched = home / f".preparing-{gone[-1]}"
    for path in (untouched, untouched / "tokens.bin"):
        os.utime(path, (time.time() - 2 * UNTOUCHED,) * 2)
    prepare_run(ask(tale))
    assert set(os.listdir(home)) == {*(f".preparing-{each}" for each in (*living, f"99999999999-1@{host}")), "tale"}
    assert [run.name for run in list_runs()] == ["tale"]


def test_a_device_is_tried_where_the_machine_seems_to_have_it(tale: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if machine.has_cuda():
        pytest.skip("this machine has CUDA")

    def run_here(command: list[str], **_: object) -> SimpleNamespace:
        with pytest.raises((AssertionError, RuntimeError)) as raised:
            exec(command[-1], {})
        return SimpleNamespace(returncode=1, stderr="".join(traceback.format_exception(raised.value)))

    monkeypatch.setattr("subprocess.run", run_here)
    monkeypatch.setattr("lab.planning.device.no_cuda_reason", lambda: "")
    with pytest.raises(UserError, match=r"device cuda:0 cannot be used \(.+\); use --device cpu\."):
        prepare_run(ask(tale, device="cuda:0"))
    assert os.listdir(home) == []


def test_default_prompts_begin_a_line_or_a_sentence() -> None:
    assert prompt_from_text("the rest of it,\n\nGREMIO:\nGood morrow, neighbour Baptista.\n") == "GREMIO:\n"
    assert prompt_from_text("st.\nThe big brown dog ran fast over the hill.\nAnd") == "The big brown dog"
    assert prompt_from_text("st.\nGood morrow, neighbour Baptista.\nAnd") == "Good morrow, neighbour", "no part of a word"
    assert prompt_from_text(f"st.\n{'w' * 40}\nAnd") == "w" * 30
    assert prompt_from_text(f"st.\n{' ' * 34}deep in a table\nAnd") == "deep in a table"
    assert prompt_from_text(f"st.\n{' ' * 34}Good morrow, neighbour Baptista.\nAnd") == "Good morrow, neighbour"
    assert prompt_from_text(f"st.\n{' ' * 28}Good morrow friend\nAnd") == "Good morrow friend"
    assert prompt_from_text("of it. The dog ran. The cat sat.") == "The dog ran. The"
    assert prompt_from_text("one endless line of words with no full stop") == "endless line of words"
    assert prompt_from_text("word") == "word"
    assert prompt_from_text("") == "\n"
    assert prompt_from_text("\ufffd\n\ufffdx\n    return x + 1\nrest") == "    return x + 1\n"


def test_short_texts_get_small_vocabularies() -> None:
    assert default_vocabulary("micro", 1_115_394) == 1024
    assert default_vocabulary("micro", 10_000) == 356
    assert default_vocabulary("gpt2", 10) == 257


def test_a_run_made_before_1970_by_its_clock_can_be_read(tiny_run: Callable[..., Run], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.time", lambda: -86_400.5)
    run = tiny_run()
    assert Run(run.path).config.created == -86_400.5
    assert [each.name for each in list_runs()] == [run.name]
