"""A post-training as its progress.jsonl tells it so far, the follower that reads on, and a recorded one. No torch."""

from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Literal, cast

from lab.runs.metrics_log import LineReader
from lab.training.posttraining.posttraining_schema import (
    MODELS,
    Begun,
    Ended,
    Evaluation,
    Line,
    Model,
    Round,
    Saved,
    SftStep,
    Started,
)
from lab.training.posttraining.work_folder import WorkFolder

MOST_LINES = 1_000_000
"""Most lines that are kept of a file, so that a damaged one does not fill the memory."""

TIMED_ROUNDS = 5
"""Rounds whose time gives that of those to come."""

Stage = Literal["none", "starting", "fine-tuning", "reinforcing", "finished", "stopped", "interrupted"]
"""`stopped`: it ended early and says why. `interrupted`: its process is gone without a word."""


@dataclass
class PosttrainingHistory:
    """All lines of one post-training, sorted."""

    begun: Begun | None = None
    started: Started | None = None
    sft: list[SftStep] = field(default_factory=list)
    rounds: dict[Model, list[Round]] = field(default_factory=dict)
    evaluations: dict[Model, Evaluation] = field(default_factory=dict)
    saved: dict[Model, str] = field(default_factory=dict)
    """Name of the run that each model became."""
    ended: Ended | None = None
    lines: int = 0

    def add(self, lines: list[Line]) -> None:
        for line in lines:
            self.lines += 1
            if self.lines > MOST_LINES:
                return
            if isinstance(line, Begun):
                self.begun = line
            elif isinstance(line, Started):
                self.started = line
            elif isinstance(line, SftStep):
                self.sft.append(line)
            elif isinstance(line, Round):
                self.rounds.setdefault(line.model, []).append(line)
            elif isinstance(line, Evaluation):
                self.evaluations[line.model] = line
            elif isinstance(line, Saved):
                self.saved[line.model] = line.run
            else:
                self.ended = line
                self.saved.update(line.runs)

    def seconds_left(self) -> float | None:
        """Estimate of the time left, from the time of the last rounds; None before there are some."""
        kept, free = self.rounds.get("rl", []), self.rounds.get("rl-free", [])
        last = (free if len(free) > TIMED_ROUNDS else kept)[-TIMED_ROUNDS - 1 :]
        if len(last) <= TIMED_ROUNDS:
            return None
        to_do = 2 * kept[-1].rounds - len(kept) - len(free)
        return max(0.0, to_do * (last[-1].seconds - last[0].seconds) / TIMED_ROUNDS)

    @property
    def evaluated(self) -> list[Evaluation]:
        """The evaluations there are, in the order of the models."""
        return [self.evaluations[model] for model in MODELS if model in self.evaluations]


def history_of(path: Path) -> PosttrainingHistory:
    history = PosttrainingHistory()
    history.add(list(LineReader(path, cast(type[Started], Line)).read()))
    return history


RECORDED = Path(__file__).with_name("recorded.jsonl")
"""The progress of a post-training of the demo, which is shown where none was made here. Its host names the processor."""


@cache
def recorded_history() -> PosttrainingHistory:
    return history_of(RECORDED)


class PosttrainingFollower:
    """Reads progress.jsonl as it grows."""

    def __init__(self, folder: WorkFolder) -> None:
        self.folder = folder
        self.history = PosttrainingHistory()
        self.is_running = False
        """As of the last `read`."""
        self._reader = LineReader(folder.progress_path, cast(type[Started], Line))

    def read(self) -> bool:
        """Read on; True if something has changed."""
        was_running, self.is_running = self.is_running, self.folder.is_running()
        lines = self._reader.read()
        if self._reader.restarted:
            self.history = PosttrainingHistory()
        self.history.add(list(lines))
        return bool(lines) or self._reader.restarted or was_running != self.is_running

    @property
    def stage(self) -> Stage:
        history = self.history
        if history.ended is not None and not self.is_running:
            return "finished" if history.ended.is_finished else "stopped"
        if not self.is_running:
            return "none" if history.begun is None and history.started is None else "interrupted"
        if history.started is None or "base" not in history.evaluations:
            return "starting"
        return "reinforcing" if "sft" in history.evaluations else "fine-tuning"


def recorded_measures() -> dict[str, float]:
    """The shares of the recorded answers that are exact, rewarded, and name several animals, by model; for guesses."""
    return {
        f"{model.replace('-', '_')}_{name}": getattr(found, name)
        for model, found in recorded_history().evaluations.items()
        for name in ("exact", "rewarded", "several")
    }
