"""`llmlab bench --gpu`: its parts on the CPU, with a stand-in for nanoGPT's scripts, and its refusal without a GPU."""

import json
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Self

import psutil  # type: ignore[import-untyped]
import pytest

from lab.bench.bench_suite import SHAKESPEARE, TINY, GpuSuite
from lab.bench.bench_worker import JOBS
from lab.bench.timed_process import TimedProcess
from lab.cli.commands.bench_command import ended_by_signals
from lab.core.errors import UserError
from lab.runs.run_folder import Run
from tests.fixture_types import Call
from tests.lab.bench.nanogpt_race import evaluations, iteration_seconds
from tests.lab.conftest import TALE

BENCH = """
import sys
assert '--device=cpu' in sys.argv and '--batch_size=2' in sys.argv and '--block_size=16' in sys.argv, sys.argv
print('time per iteration: 999.0000ms, MFU: 0.01%')
print('time per iteration: 4.0000ms, MFU: 0.01%')
"""
TRAIN = """
import sys
assert sys.argv[1] == 'config/train_shakespeare_char.py'
print('number of parameters: 10.65M')
for step, loss in ((0, 9.9), (250, 7.5), (500, 8.0)):
    print(f'step {step}: train loss 1.0000, val loss {loss:.4f}')
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    folder = tmp_path / "nanoGPT"
    (folder / SHAKESPEARE).parent.mkdir(parents=True)
    (folder / SHAKESPEARE).write_text(TALE)
    for name, program in (("bench", BENCH), ("train", TRAIN), ("model", "")):
        (folder / f"{name}.py").write_text(program)
    return folder


def test_without_a_gpu_and_with_a_text_beside_a_checkout_it_is_refused(
    llmlab: Call, home: Path, checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = llmlab("bench", "--gpu", "--against", f"nanogpt={checkout}", "--race", "tale.txt")
    done.assert_mistake("--race and --against exclude each other with --gpu")
    monkeypatch.setattr("lab.bench.bench_suite.no_cuda_reason", lambda: "this machine shows no NVIDIA GPU")
    llmlab("bench", "--gpu").assert_mistake("needs an NVIDIA GPU, and this machine shows no NVIDIA GPU", "--tiny")


class TimedHere(TimedProcess):
    """The same work in this process, which has torch."""

    def __enter__(self) -> Self:
        job = {name: value for name, value in self.job.items() if name not in ("seconds", "threads", "kind")}
        self._work, self.info = JOBS[self.job["kind"]](**job)
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def get_ready(self) -> None:
        self._work()

    def round(self) -> None:
        started = time.perf_counter()
        self.throughputs.append(self._work() / (time.perf_counter() - started))


@pytest.fixture
def timed_here(same_precision: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lab.bench.bench_suite.TimedProcess", TimedHere)


def test_on_a_cpu_nanogpt_s_bench_is_left_out_with_its_reason(home: Path, checkout: Path, timed_here: None) -> None:
    (checkout / "bench.py").write_text("raise SystemExit('Torch not compiled with CUDA enabled')")
    rows = list(GpuSuite(home, lambda words: None, checkout, work=TINY)._training())
    assert [(row.name, row.value is None) for row in rows] == [("1 layer, width 8", False), ("nanoGPT's bench.py", True)]
    assert rows[1].note.endswith("nanoGPT's bench.py failed: Torch not compiled with CUDA enabled")


def test_its_parts_run_on_a_cpu_beside_a_stand_in_for_nanogpt(
    llmlab: Call,
    home: Path,
    checkout: Path,
    train_here: Callable[[Run], object],
    timed_here: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("lab.bench.bench_suite.start_trainer", train_here)
    done = llmlab("bench", "--gpu", "--tiny", "--against", f"nanogpt={checkout}", "--json")
    assert done.code == 0, done.err
    rows = {(row["group"], row["name"]): row for row in json.loads(done.out)["rows"]}
    own, theirs = rows["GPU training", "1 layer, width 8"], rows["GPU training", "nanoGPT's bench.py"]
    assert theirs["value"] == pytest.approx(2 * 16 / 0.004)
    assert own["ratio"] == pytest.approx(own["value"] / theirs["value"])
    assert own["note"].startswith("a trial, this figure says nothing; ")
    assert own["note"].endswith("2 × 16 tokens a step, cpu")
    slow, quick = rows["time to a loss", "nanoGPT"], rows["time to a loss", "llmlab"]
    assert slow["note"] == "a trial, this figure says nothing; validation loss 7.5000, its lowest"
    assert slow["value"] > 0
    assert quick["ratio"] == pytest.approx(quick["value"] / slow["value"])
    assert rows["looking", "trace of 8 tokens"]["value"] > 0
    assert "GPT-2 124M" not in done.out, "it was not timed"


def test_a_loss_that_is_not_reached_is_said_once_the_run_has_finished(
    home: Path, checkout: Path, train_here: Callable[[Run], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lab.bench.bench_suite.start_trainer", train_here)
    phase, seems = Run.phase, iter(["training"])
    monkeypatch.setattr(Run, "phase", lambda run: next(seems, "") or phase(run))  # and is waited for
    (row,) = GpuSuite(home, lambda words: None, None, str(checkout / SHAKESPEARE), TINY)._time_to_loss()
    assert (row.value, row.note) == (None, "did not reach 1.4697")


def test_a_signal_ends_the_trainer_of_a_measurement_too(home: Path, checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pids = []

    def ended_from_outside(run: Run, *rest: object) -> None:
        pids.append(run.status().pid)
        assert psutil.pid_exists(pids[0])
        signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr("lab.bench.bench_suite._first_below", ended_from_outside)
    monkeypatch.setattr("lab.bench.timed_process.END_SECONDS", 0.1)  # it has not yet loaded torch, and then is killed
    with pytest.raises(SystemExit, match="143"), ended_by_signals():
        GpuSuite(home, lambda words: None, None, str(checkout / SHAKESPEARE), TINY)._own_time(str(checkout / SHAKESPEARE), 0.0)
    assert not psutil.pid_exists(pids[0])


def test_without_a_text_the_time_to_a_loss_is_left_out_with_the_reason(tmp_path: Path) -> None:
    for nanogpt in (None, tmp_path):
        (row,) = GpuSuite(tmp_path, lambda words: None, nanogpt, work=TINY)._time_to_loss()
        assert row.value is None
        assert row.note.startswith("left out: it needs a text, by --race TEXT beside --gpu, or as")


@pytest.mark.parametrize(
    ("call", "script"), [(iteration_seconds, "bench.py"), (evaluations, "train.py")], ids=["bench.py", "train.py"]
)
def test_a_script_that_fails_says_why(call: Callable[[Path, list[str]], object], script: str, checkout: Path) -> None:
    (checkout / script).write_text("raise SystemExit('CUDA is not available')")
    with pytest.raises(UserError, match=rf"nanoGPT's {script} failed: CUDA is not available"):
        call(checkout, [])
    (checkout / script).write_text("print('nothing of interest')")
    with pytest.raises(UserError, match=r"it printed no figures"):
        call(checkout, [])
