"""The state of every run in a line's worth of facts, cheap enough to ask for every second."""

import os
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from lab.reading import plan_in_words, progress
from lab.run_config import Metric
from lab.run_folder import Run
from lab.runs import demo, home, is_run, list_runs
from models.accounts import flops_per_token

TAIL = 64 * 1024
"""Bytes at the end of metrics.jsonl that are read for the latest training loss and evaluation: some hundred lines."""

PHASES: dict[str, tuple[str, str]] = {
    "starting": ("○", "starting"),
    "training": ("●", "training"),
    "paused": ("‖", "paused"),
    "stopped": ("■", "stopped"),
    "finished": ("✓", "finished"),
    "failed": ("✗", "failed"),
    "interrupted": ("!", "interrupted"),
}
"""A sign and a word for each phase; the sign is there so that none is told apart by colour alone."""

GOING_ON = ("starting", "training", "paused")


@dataclass(frozen=True)
class RunSummary:
    """What a list of runs shows of one. Numbers that the run has not produced yet are None."""

    name: str
    path: Path
    text: str
    phase: str
    """A phase, or `interrupted` where the status tells of a trainer that is gone."""
    plan: str
    """When it ends: `2,000 steps`, `5 min 00 s`."""
    step: int = 0
    steps: int | None = None
    done: float = 0.0
    """How much of it is done, 0 to 1."""
    loss: float | None = None
    val_loss: float | None = None
    bits_per_byte: float | None = None
    tokens_per_second: float | None = None
    mean_speed: float | None = None
    """Tokens a second over all its training, evaluations included."""
    flops_per_token: int = 0
    """Floating-point operations that training spends on one token of its model."""
    seen: float = 0.0
    """Unix time of its last sign of life."""
    is_demo: bool = False

    @property
    def going_on(self) -> bool:
        """Whether a trainer is at it now."""
        return self.phase in GOING_ON


@dataclass
class RunsWatcher:
    """Reads all runs again and again, opening only the files that have changed. Not for two threads at once."""

    where: Path | None = None
    _tails: dict[Path, tuple[tuple[int, int], Metric | None, Metric | None]] = field(default_factory=dict)

    def read(self) -> list[RunSummary]:
        """The user's runs, newest first, and the demo after them."""
        runs = list_runs(self.where or home())
        shipped = demo()
        return [self.summary(run) for run in runs] + ([self.summary(Run(shipped), is_demo=True)] if is_run(shipped) else [])

    def summary(self, run: Run, *, is_demo: bool = False) -> RunSummary:
        """One run as it is now."""
        config, status = run.config, run.status()
        training, evaluation = self._latest(run.metrics_path)
        return RunSummary(
            name="demo" if is_demo else run.name,
            path=run.path,
            text=config.data.name,
            phase=run.phase(),
            plan=plan_in_words(config),
            step=status.step,
            steps=status.steps or config.train.steps,
            done=progress(config, status),
            loss=training.loss if training else None,
            val_loss=evaluation.val_loss if evaluation else None,
            bits_per_byte=evaluation.bits_per_byte if evaluation else None,
            tokens_per_second=training.tokens_per_second if training else None,
            mean_speed=training.tokens / training.seconds if training and training.seconds else None,
            flops_per_token=flops_per_token(config.model),
            seen=status.heartbeat or config.created,
            is_demo=is_demo,
        )

    def _latest(self, path: Path) -> tuple[Metric | None, Metric | None]:
        """The latest line with a training loss and the latest with a validation loss, from the end of the file."""
        try:
            facts = path.stat()
        except OSError:
            return None, None
        stamp = (facts.st_size, facts.st_mtime_ns)
        known = self._tails.get(path)
        if known is None or known[0] != stamp:
            known = (stamp, *_read_tail(path))
            self._tails[path] = known
        return known[1], known[2]


def _read_tail(path: Path) -> tuple[Metric | None, Metric | None]:
    training = evaluation = None
    decoder = msgspec.json.Decoder(Metric)
    try:
        with path.open("rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - TAIL))
            lines = file.read().split(b"\n")[:-1]
    except OSError:
        return None, None
    for line in reversed(lines):
        try:
            metric = decoder.decode(line)
        except msgspec.DecodeError:
            continue
        if training is None and metric.loss is not None:
            training = metric
        if evaluation is None and metric.val_loss is not None:
            evaluation = metric
        if training is not None and evaluation is not None:
            break
    return training, evaluation
