"""Records the runs that the diagnosis is tested on, by training tiny models for some seconds each with the real trainer.

    python tests/lab/analysis/record_curves.py [NAME ...]

Each becomes curves/FOLDER/NAME.jsonl. On the first line: its settings, its last status, the entropies of its text, its events
(without checkpoints; older files lack the bigram loss), and the loss and the learning rate of every step. Then, in full, the
metrics of the steps with an evaluation and of the last. Numbers of another machine differ in their last digits; the diagnosis
must not.
"""

import math
import os
import random
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from lab.analysis.baselines import run_entropy
from lab.core.errors import UserError
from lab.data.builtin_stories import generate
from lab.planning.prepare_run import prepare_run
from lab.planning.settings_table import RunRequest
from lab.runs.metrics_log import LineReader
from lab.runs.run_control import send_command
from lab.runs.run_folder import Run
from lab.runs.run_schema import Event, Metric, Status
from lab.training.status_file import StatusBoard
from lab.training.stop_signals import StopSignals

WHERE = Path(__file__).parent / "curves"
CHARACTERS = 150_000


def stories(length: int) -> Callable[[], str]:
    return lambda: "".join(generate(length, seed=1))


def letters(length: int) -> Callable[[], str]:
    """Each letter independent of all before it: there is nothing to learn but that all eight are alike."""
    return lambda: "".join(random.Random(1).choices("abcdefgh", k=length))


def manual(length: int, start: int = 0) -> Callable[[], str]:
    from pydoc_data import topics

    return lambda: "".join(topics.topics[name] for name in sorted(topics.topics))[start : start + length]


def coin(length: int) -> Callable[[], str]:
    return lambda: "".join(random.Random(3).choices("ab", k=length))


def joined(*parts: Callable[[], str]) -> Callable[[], str]:
    return lambda: "".join(part() for part in parts)


def repeated(part: Callable[[], str], times: int) -> Callable[[], str]:
    return lambda: part() * times


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


@dataclass(frozen=True)
class Recipe:
    """A run to record."""

    text: Callable[[], str]
    settings: dict[str, object] = field(default_factory=dict)
    """Settings that differ from `SMALL`."""
    stop: int | None = None
    """The step after which it is stopped."""
    pause: bool = False
    """Pause it there instead, and record it as it stands."""
    without_rollback: bool = False
    """Leave no step out and never roll back, as a trainer without spike detection."""


def bpe(vocab: int) -> dict[str, object]:
    return {"tokenizer": "bpe", "vocab": vocab}


OVERFITS = manual(5_000, 70_000)
LONGER = manual(165_000, 85_000)
MEMORIZES: dict[str, object] = bpe(1500) | WIDE | {"steps": 1000, "lr": 1e-2, "batch": 32, "eval_every": 100}
"""Its first evaluation comes when the text has been read several times, and its vocabulary is large for the validation part."""
MUON: dict[str, object] = {"optimizer": "muon", "lr": None}

RECIPES: dict[str, dict[str, Recipe]] = {
    "learning": {
        "learning": Recipe(stories(CHARACTERS), {"steps": 600}),
        "learning-manual": Recipe(manual(CHARACTERS), {"steps": 600} | WIDE),
        "learning-half-way": Recipe(stories(CHARACTERS), {"steps": 1200}, stop=300),
        "learning-muon": Recipe(stories(CHARACTERS), {"steps": 300} | MUON | bpe(400)),
        "learning-dropout": Recipe(manual(CHARACTERS), {"steps": 600, "dropout": 0.3} | WIDE),
        "learning-rare-evaluations": Recipe(stories(CHARACTERS), {"steps": 600, "eval_every": 400}, stop=590),
        "learning-by-minutes": Recipe(stories(CHARACTERS), {"steps": None, "minutes": 0.1}),
        "learning-before-overfitting": Recipe(OVERFITS, {"steps": 1500, "eval_every": 10} | WIDE, stop=70),
        "learning-with-a-gap": Recipe(manual(20_000, 30_000), {"steps": 600, "lr": 6e-3} | bpe(400) | WIDE),
        "learning-short-manual": Recipe(manual(38_000, 200_000), {"steps": 200} | WIDE),
        "learning-context-of-two": Recipe(stories(CHARACTERS), {"steps": 1200, "context": 2, "batch": 64}),
    },
    "early_steps": {
        "too-short": Recipe(stories(CHARACTERS), {"steps": 60}),
        "too-short-to-tell": Recipe(stories(CHARACTERS), {"steps": 10, "eval_every": 5}),
        "paused-early": Recipe(stories(CHARACTERS), {"steps": 2000, "warmup": 0.001}, stop=9, pause=True),
        "paused-at-once": Recipe(stories(CHARACTERS), {"steps": 2000}, stop=0, pause=True),
        "warming-up": Recipe(stories(CHARACTERS), {"steps": 2000, "warmup": 0.05}, stop=40),
        "warming-up-by-minutes": Recipe(stories(CHARACTERS), {"steps": None, "minutes": 5.0, "warmup": 0.5}, stop=40),
    },
    "overfitting": {
        "overfitting": Recipe(OVERFITS, {"steps": 600} | WIDE),
        "overfitting-bpe": Recipe(manual(6_000, 70_000), {"steps": 800, "lr": 6e-3} | bpe(300) | WIDE),
        "overfitting-at-first": Recipe(OVERFITS, {"steps": 3000} | WIDE, stop=300),
        "overfitting-paused": Recipe(OVERFITS, {"steps": 3000} | WIDE, stop=500, pause=True),
        "overfitting-ended-early": Recipe(OVERFITS, {"steps": 3000, "patience": 4} | WIDE),
        "overfitting-large-vocabulary": Recipe(manual(30_000, 30_000), {"steps": 500, "lr": 6e-3} | bpe(2000) | WIDE),
        "overfitting-last-tenth": Recipe(LONGER, MEMORIZES),
        "overfitting-blocks": Recipe(LONGER, MEMORIZES | {"split_seed": 3}),
        "small-text": Recipe(manual(600, 20_000), {"steps": 300, "width": 64}),
        "small-text-large-model": Recipe(manual(4_000, 9_000), {"steps": 300, "layers": 4, "heads": 4, "width": 128}),
        "small-text-vocabulary": Recipe(manual(12_000, 30_000), {"steps": 400, "width": 128} | bpe(2000)),
    },
    "validation_text": {
        "differs-manual-at-the-end": Recipe(joined(stories(120_000), manual(14_000)), {"steps": 600}),
        "differs-bpe": Recipe(joined(stories(120_000), manual(14_000)), {"steps": 400} | bpe(400)),
        "differs-in-the-first-epoch": Recipe(joined(stories(27_000), manual(3_000)), {"steps": 300}),
        "differs-easier-end": Recipe(joined(manual(120_000), coin(14_000)), {"steps": 600} | WIDE),
        "copied-text": Recipe(repeated(manual(3_000, 70_000), 40), {"steps": 600} | WIDE),
        "copied-one-letter": Recipe(repeated(lambda: "a", 20_000), {"steps": 100}),
    },
    "learning_rate": {
        "lr-too-low-at-uniform-baseline": Recipe(stories(CHARACTERS), {"lr": 1e-7}),
        "lr-too-low-rarely-evaluated": Recipe(stories(CHARACTERS), {"lr": 1e-7, "eval_every": 400}),
        "lr-too-low-muon": Recipe(stories(CHARACTERS), {"steps": 1200, "eval_every": 50} | MUON | {"lr": 1e-4} | bpe(512)),
        "lr-too-low-plateau": Recipe(stories(CHARACTERS), {"steps": 800} | MUON | {"lr": 1e-5} | bpe(512)),
        "lr-too-high-without-rollback": Recipe(stories(CHARACTERS), {"lr": 0.3, "steps": 600}, stop=260, without_rollback=True),
        "lr-too-high": Recipe(stories(CHARACTERS), {"lr": 0.3, "steps": 600}),
        "lr-too-high-muon": Recipe(stories(CHARACTERS), {"steps": 400} | MUON | {"lr": 2.0}),
        "rolled-back": Recipe(stories(CHARACTERS), {"lr": 3.0, "steps": 600}),
        "rolled-back-half-way": Recipe(stories(CHARACTERS), {"lr": 3.0, "steps": 600}, stop=200),
    },
    "plateau": {
        "plateau-independent-letters": Recipe(letters(CHARACTERS), {"steps": 500}),
        "dropout-too-high": Recipe(stories(CHARACTERS), {"steps": 600, "dropout": 0.9}),
        "plateau-model-too-small": Recipe(
            stories(CHARACTERS), {"steps": 1500, "layers": 1, "heads": 1, "width": 4, "eval_every": 50}
        ),
    },
    "diverged": {
        "diverged-without-rollback": Recipe(
            stories(CHARACTERS), {"lr": 1.0, "final_lr": 1.0, "steps": 200}, stop=60, without_rollback=True
        ),
        "diverged-nan-without-rollback": Recipe(
            stories(CHARACTERS), {"lr": 1000.0, "weight_decay": 1000.0, "steps": 200}, without_rollback=True
        ),
        "diverged-lr-1000": Recipe(stories(CHARACTERS), {"lr": 1000.0, "weight_decay": 1000.0, "steps": 200}),
        "diverged-while-warming-up": Recipe(stories(CHARACTERS), {"steps": 1000, "warmup": 0.5, "lr": 10.0}, stop=400),
    },
    "little_learned": {
        "nothing-lr-1e-5": Recipe(stories(CHARACTERS), {"steps": 200, "lr": 1e-5} | bpe(512)),
        "nothing-rarely-evaluated": Recipe(stories(CHARACTERS), {"steps": 150, "lr": 1e-7, "eval_every": 400}),
        "nothing-stopped": Recipe(stories(CHARACTERS), {"steps": 2000, "lr": 1e-6, "warmup": 0.01}, stop=70),
        "nothing-paused": Recipe(manual(CHARACTERS), {"steps": 2000, "lr": 1e-6, "warmup": 0.01}, stop=70, pause=True),
        "little-lr-1e-4": Recipe(stories(CHARACTERS), {"steps": 300, "lr": 1e-4}),
        "little-dropout": Recipe(manual(CHARACTERS), {"steps": 300, "dropout": 0.9} | WIDE),
        "little-independent-letters": Recipe(letters(CHARACTERS), {"steps": 100}),
        "little-coin": Recipe(coin(CHARACTERS), {"steps": 120}),
        "little-while-training": Recipe(stories(CHARACTERS), {"steps": 2000, "warmup": 0.001}, stop=50, pause=True),
        "little-at-a-high-rate": Recipe(stories(CHARACTERS), {"steps": 200, "lr": 0.3}),
    },
    "too_short": {
        "short-20-steps": Recipe(stories(CHARACTERS), {"steps": 20}),
        "short-45-steps": Recipe(stories(CHARACTERS), {"steps": 45, "eval_every": 5}),
        "short-60-steps-bpe": Recipe(stories(CHARACTERS), {"steps": 60, "eval_every": 10} | bpe(512)),
        "short-narrow": Recipe(stories(CHARACTERS), {"steps": 100, "layers": 1, "heads": 1, "width": 4}),
        "short-stopped": Recipe(stories(CHARACTERS), {"steps": 1000, "warmup": 0.001}, stop=30),
        "short-by-minutes": Recipe(stories(CHARACTERS), {"steps": None, "minutes": 0.01}),
        "short-20-steps-below-unigram": Recipe(stories(CHARACTERS), {"steps": 20} | MUON | bpe(400) | WIDE),
        "short-but-learned": Recipe(stories(CHARACTERS), {"steps": 45, "eval_every": 5} | MUON | bpe(400) | WIDE),
    },
    "rollbacks": {
        "rollbacks-lr-10": Recipe(stories(CHARACTERS), {"steps": 400, "lr": 10.0}),
        "rollbacks-lr-3-wide": Recipe(manual(CHARACTERS), {"steps": 300, "lr": 3.0} | WIDE),
        "rollbacks-muon": Recipe(stories(CHARACTERS), {"steps": 500} | MUON | {"lr": 3.0} | bpe(400)),
        "rollbacks-just-now": Recipe(stories(CHARACTERS), {"steps": 60, "lr": 10.0}),
        "rollbacks-while-training": Recipe(stories(CHARACTERS), {"steps": 600, "lr": 3.0}, stop=260, pause=True),
        "rollbacks-small-text": Recipe(manual(3_000, 70_000), {"steps": 500, "lr": 0.5} | MUON | {"lr": 1.0} | WIDE),
    },
}
"""By folder and name."""


class EndAfter(StopSignals):
    """A signal after a step, or the command to pause and then the signal."""

    def __init__(self, recipe: Recipe, run: Run, now: Callable[[], int]) -> None:
        self._recipe, self._run, self._now = recipe, run, now
        self._asked = False
        self.paused: Status | None = None

    @property  # type: ignore[override]
    def caught(self) -> str | None:
        stop = self._recipe.stop
        if stop is None or self._now() < stop:
            return None
        if not self._recipe.pause:
            return "SIGTERM"
        if not self._asked:
            send_command(self._run.control_path, "pause")
            self._asked = True
        status = self._run.status()
        if status.phase == "paused":
            self.paused = status
            return "SIGTERM"
        return None

    @caught.setter
    def caught(self, name: str | None) -> None:
        pass


def train(run: Run, recipe: Recipe) -> Status:
    from lab.training import checkpoint_schedule, trainer_state
    from lab.training.training_loop import Training

    trainer_state.MAX_UNIFORM_RATIO, trainer_state.MIN_JUMP, checkpoint_schedule.MAX_HALVINGS = (
        (math.inf, math.inf, 0) if recipe.without_rollback else ORDINARY
    )
    board = StatusBoard(run.status_path, Status(phase="starting", pid=os.getpid()))
    board.start()
    training: list[Training] = []
    signals = EndAfter(recipe, run, lambda: training[0].state.step if training else -1)
    try:
        training.append(Training(run, board, signals))
        training[0].train()
    except UserError as error:
        board.update("failed", message=str(error))
    finally:
        board.end()
    return signals.paused or run.status()


def record(kind: str, name: str) -> None:
    recipe = RECIPES[kind][name]
    with tempfile.TemporaryDirectory() as folder:
        os.environ["LLMLAB_HOME"] = folder
        path = Path(folder, "text.txt")
        path.write_text(recipe.text())
        settings = {name: value for name, value in (SMALL | recipe.settings).items() if value is not None}
        run = prepare_run(RunRequest(text=str(path), name=name, **settings))  # type: ignore[arg-type]
        status = train(run, recipe)
        metrics = LineReader(run.metrics_path, Metric).read()
        events = [
            event for event in LineReader(run.events_path, Event).read() if event.kind in ("bad_step", "back", "early_stop")
        ]
        data = msgspec.structs.replace(run.config.data, source="text.txt")
        config = msgspec.structs.replace(run.config, data=data, created=0.0)
        entropy = run_entropy(run)
    status = msgspec.structs.replace(status, pid=0, pid_started=0.0, host="", heartbeat=0.0, computed="", device="cpu")
    steps = [line for line in metrics if line.step > 0]
    assert [line.step for line in steps] == list(range(1, len(steps) + 1))
    encode = msgspec.json.encode
    head = {
        "config": config,
        "status": status,
        "entropy": entropy,
        "events": [{"step": event.step, "seconds": 0.0, "kind": event.kind} for event in events],
        "losses": [None if line.loss is None else round(line.loss, 3) for line in steps],
        "rates": [float(f"{line.lr:.3g}") for line in steps if line.lr is not None],
    }
    full = [line for line in metrics if line.val_loss is not None or line is metrics[-1]]
    recording = WHERE / kind / f"{name}.jsonl"
    recording.parent.mkdir(parents=True, exist_ok=True)
    recording.write_bytes(b"".join(encode(line) + b"\n" for line in [head, *full]))
    evaluations = [line.val_loss for line in metrics if line.val_loss is not None]
    backs = sum(event.kind == "back" for event in events)
    print(
        f"{name}: {status.phase} at step {status.step}, {backs} x back, validation {evaluations[:1]} to {evaluations[-1:]}",
        flush=True,
    )


if __name__ == "__main__":
    from lab.training import checkpoint_schedule, trainer_state

    ORDINARY = trainer_state.MAX_UNIFORM_RATIO, trainer_state.MIN_JUMP, checkpoint_schedule.MAX_HALVINGS
    for kind, recipes in RECIPES.items():
        for name in recipes:
            if name in (sys.argv[1:] or recipes):
                record(kind, name)
