"""What must go on holding: one trainer a run, the same result with and without dropout, nothing touched outside the home."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from lab.runs import find_runs
from lab.runs.weights_file import load_model
from tests.fixture_types import Call, TinyRun, TrainHere


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_resuming_is_equal_to_the_bit(dropout: float, tiny_run: TinyRun, train_here: TrainHere) -> None:
    straight, broken = (tiny_run(dropout=dropout, steps=12, eval_every=4) for _ in range(2))
    train_here(straight)
    for stop in (3, 7):
        assert train_here(broken, until=stop).step == stop
    assert train_here(broken).phase == "finished"
    one, other = (load_model(run, "last")[0].state_dict() for run in (straight, broken))
    assert all(torch.equal(one[name], other[name]) for name in one)
    losses = [[(metric.step, metric.loss, metric.val_loss) for metric in run.metrics().read()] for run in (straight, broken)]
    assert losses[0] == losses[1]


def test_of_four_that_resume_at_once_one_trains(tiny_run: TinyRun, train_here: TrainHere) -> None:
    run = tiny_run(steps=1_000_000)
    train_here(run, until=3)
    command = [sys.executable, "-P", "-m", "lab.cli", "resume", str(run.path), "--detach"]
    resumes = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=run.path.parent)
        for _ in range(4)
    ]
    try:
        said = [process.communicate(timeout=120) for process in resumes]
        codes = sorted(process.returncode for process in resumes)
        assert codes == [0, 2, 2, 2], said
        assert sum("is already being trained by process" in err for _, err in said) == 3
    finally:
        status = run.status()
        if run.is_alive():
            os.kill(status.pid, 9)


def everything_but(home: Path, below: Path) -> dict[str, tuple[int, bytes]]:
    """Every file and folder below `below` outside the home: when it changed, and its contents."""
    return {
        str(path): (path.lstat().st_mtime_ns, path.read_bytes() if path.is_file() else b"")
        for path in below.rglob("*")
        if path != home and home not in path.parents
    }


def test_nothing_outside_the_home_is_written_or_deleted(
    home: Path, tmp_path: Path, tiny_run: TinyRun, train_here: TrainHere, llmlab: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "precious").write_text("keep me")
    for variable in ("HOME", "TMPDIR", "XDG_CACHE_HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME"):
        (tmp_path / variable).mkdir()
        monkeypatch.setenv(variable, str(tmp_path / variable))
    monkeypatch.chdir(elsewhere)
    run = tiny_run()
    before = everything_but(home, tmp_path)
    train_here(run, until=12)
    (run.path / "mine").symlink_to(elsewhere)
    train_here(run)
    for command in (("runs",), ("generate", "tale", "-n", "3"), ("params", "tale"), ("rename", "tale", "story")):
        assert llmlab(*command).code == 0, command
    assert llmlab("delete", "story", "--yes").code == 0
    assert find_runs.list_runs() == []
    assert everything_but(home, tmp_path) == before
