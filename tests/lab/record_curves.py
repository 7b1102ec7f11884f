"""Records the curves that the diagnosis is tested on, by training tiny models for some seconds each.

    python tests/lab/record_curves.py [NAME ...]

Each becomes curves/NAME.jsonl: on the first line the run's settings and its last status, then its metrics: every evaluation, and
training steps thinned to about `STEPS_KEPT`. Numbers of another machine differ in their last digits; the diagnosis must not.
"""

import math
import os
import random
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import msgspec

from lab.errors import UserError
from lab.metrics import LineReader
from lab.prepare import prepare_run
from lab.request import RunRequest
from lab.run_config import Metric, Status
from lab.run_folder import Run
from lab.signals import Signals
from lab.status_board import StatusBoard
from lab.stories import generate

WHERE = Path(__file__).parent / "curves"
STEPS_KEPT = 120
CHARACTERS = 150_000


def stories(length: int) -> Callable[[], str]:
    return lambda: "".join(generate(length, seed=1))


def letters(length: int) -> Callable[[], str]:
    """Each letter independent of all before it: there is nothing to learn but that all eight are alike."""
    return lambda: "".join(random.Random(1).choices("abcdefgh", k=length))


def manual(length: int, start: int = 0) -> Callable[[], str]:
    from pydoc_data import topics

    return lambda: "".join(topics.topics[name] for name in sorted(topics.topics))[start : start + length]


SMALL: dict[str, object] = {
    "preset": "nano",
    "tokenizer": "bytes",
    "layers": 2,
    "heads": 2,
    "width": 32,
    "context": 32,
    "dropout": 0.0,
    "batch": 8,
    "threads": 1,
    "device": "cpu",
    "optimizer": "adamw",
    "lr": 3e-3,
    "steps": 400,
    "eval_every": 20,
    "sample_tokens": 1,
}
WIDE = {"heads": 4, "width": 64, "context": 64}

CURVES: dict[str, tuple[Callable[[], str], dict[str, object], int | None]] = {
    "learning": (stories(CHARACTERS), {"steps": 600}, None),
    "learning-manual": (manual(CHARACTERS), {"steps": 600} | WIDE, None),
    "learning-half-way": (stories(CHARACTERS), {"steps": 1200}, 300),
    "learning-before-overfitting": (manual(5_000, 70_000), {"steps": 1500, "eval_every": 10} | WIDE, 70),
    "overfitting": (manual(5_000, 70_000), {"steps": 600} | WIDE, None),
    "learning-with-a-gap": (manual(20_000, 30_000), {"steps": 600, "tokenizer": "bpe", "vocab": 400, "lr": 6e-3} | WIDE, None),
    "overfitting-bpe": (manual(8_000, 9_000), {"steps": 600, "tokenizer": "bpe", "vocab": 300, "lr": 6e-3} | WIDE, None),
    "overfitting-at-first": (manual(5_000, 70_000), {"steps": 3000} | WIDE, 300),
    "too-small-text": (manual(600, 20_000), {"steps": 300, "width": 64}, None),
    "too-small-for-a-large-model": (manual(4_000, 9_000), {"steps": 300, "layers": 4, "heads": 4, "width": 128}, None),
    "plateau-at-chance": (stories(CHARACTERS), {"lr": 1e-7}, None),
    "plateau-nothing-to-learn": (letters(CHARACTERS), {"steps": 500}, None),
    "plateau-rate-too-high": (stories(CHARACTERS), {"lr": 0.3, "steps": 600}, 260),
    "diverged": (stories(CHARACTERS), {"lr": 1.0, "final_lr": 1.0, "steps": 200}, 60),
    "diverged-to-no-number": (stories(CHARACTERS), {"lr": 1e30, "steps": 200}, None),
    "warming-up": (stories(CHARACTERS), {"steps": 2000, "warmup": 0.05}, 40),
    "warming-up-slowly": (manual(CHARACTERS), {"steps": 5000, "warmup": 0.1, "lr": 1e-3} | WIDE, 200),
}
"""Of each: the text, settings that differ from `SMALL`, and the step after which it is stopped."""


class SignalAfter(Signals):
    """As if a signal came after a step."""

    def __init__(self, step: int | None, now: Callable[[], int]) -> None:
        self._step, self._now = step, now

    @property  # type: ignore[override]
    def caught(self) -> str | None:
        return "SIGTERM" if self._step is not None and self._now() >= self._step else None

    @caught.setter
    def caught(self, name: str | None) -> None:
        pass


def train(run: Run, until: int | None) -> Status:
    """As if there were no going back, so that what diverges is seen to."""
    from lab import rescue, spikes
    from lab.training import Training

    spikes.HOPELESS = spikes.LEAST_JUMP = math.inf
    rescue.HALVINGS = 0

    board = StatusBoard(run.status_path, Status(phase="starting", pid=os.getpid()))
    board.start()
    training: list[Training] = []
    try:
        training.append(Training(run, board, SignalAfter(until, lambda: training[0].cursor.step if training else 0)))
        training[0].train()
    except UserError as error:
        board.update("failed", message=str(error))
    finally:
        board.end()
    return run.status()


def record(name: str) -> None:
    text, settings, until = CURVES[name]
    with tempfile.TemporaryDirectory() as folder:
        os.environ["LLMLAB_HOME"] = folder
        path = Path(folder, "text.txt")
        path.write_text(text())
        run = prepare_run(RunRequest(text=str(path), name=name, **(SMALL | settings)))  # type: ignore[arg-type]
        status = train(run, until)
        metrics = LineReader(run.metrics_path, Metric).read()
        data = msgspec.structs.replace(run.config.data, source="text.txt")
        config = msgspec.structs.replace(run.config, data=data, created=0.0)
    status = msgspec.structs.replace(status, pid=0, pid_started=0.0, host="", heartbeat=0.0)
    every = max(1, len(metrics) // STEPS_KEPT)
    kept = [line for line in metrics if line.val_loss is not None or line.step % every == 0 or line.loss is None]
    encode = msgspec.json.encode
    lines = [encode({"config": config, "status": status}), *(encode(line) for line in kept)]
    (WHERE / f"{name}.jsonl").write_bytes(b"".join(line + b"\n" for line in lines))
    evaluations = [line.val_loss for line in kept if line.val_loss is not None]
    print(f"{name}: {status.phase} at step {status.step}, validation {evaluations[:1]} to {evaluations[-1:]}", flush=True)


if __name__ == "__main__":
    WHERE.mkdir(exist_ok=True)
    for chosen in sys.argv[1:] or CURVES:
        record(chosen)
