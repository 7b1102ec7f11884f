"""A post-training as its record tells it so far, the follower that reads on, and a recorded one. No torch."""

from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, Literal

import msgspec

from lab.training.job import INTERRUPTED, Job, JobFollower
from lab.training.job_record import Ended, History, history_of
from lab.training.posttraining.posttraining_schema import MODELS, Evaluation, Line, Model, Round, Saved, SftStep, Started

TIMED_ROUNDS = 5
"""Rounds whose time gives that of those to come."""

Stage = Literal["none", "starting", "fine-tuning", "reinforcing", "finished", "stopped"]
"""`stopped`: what was started last did not finish; what is shown may be an earlier result."""


@dataclass
class PosttrainingHistory(History):
    """All lines of one post-training, sorted."""

    LINE: ClassVar[Any] = Line

    started: Started | None = None
    sft: list[SftStep] = field(default_factory=list)
    rounds: dict[Model, list[Round]] = field(default_factory=dict)
    evaluations: dict[Model, Evaluation] = field(default_factory=dict)
    saved: dict[Model, str] = field(default_factory=dict)
    """Name of the run that each model became."""

    def take(self, line: msgspec.Struct) -> None:
        if isinstance(line, Started):
            self.started = line
        elif isinstance(line, SftStep):
            self.sft.append(line)
        elif isinstance(line, Round):
            self.rounds.setdefault(line.model, []).append(line)
        elif isinstance(line, Evaluation):
            self.evaluations[line.model] = line
        elif isinstance(line, Saved):
            self.saved[line.model] = line.run
        elif isinstance(line, Ended):
            self.saved.update({model: run for model, run in line.runs.items() if model in MODELS})

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


RECORDED = Path(__file__).with_name("recorded.jsonl")
"""The record of a post-training of the demo, which is shown where none was made here. Its host names the processor."""


@cache
def recorded_history() -> PosttrainingHistory:
    return history_of(RECORDED, PosttrainingHistory)


class PosttrainingFollower(JobFollower[PosttrainingHistory]):
    """Reads the record of a post-training as it grows."""

    def __init__(self, job: Job) -> None:
        super().__init__(job, PosttrainingHistory)

    @property
    def stage(self) -> Stage:
        history = self.history
        if not self.is_running:
            is_finished = history.ended is not None and history.ended.is_finished and not self.problem
            return "finished" if is_finished else "stopped" if self.exists else "none"
        if history.started is None or "base" not in history.evaluations:
            return "starting"
        return "reinforcing" if "sft" in history.evaluations else "fine-tuning"

    @property
    def reason(self) -> str:
        """The reason why it is `stopped`, and what stands."""
        stands = " The earlier result stands." if self.stands and "earlier" not in self.problem else ""
        return f"{self.problem or INTERRUPTED}{stands}"


def recorded_measures() -> dict[str, float]:
    """The shares of the recorded answers that are exact, rewarded, and name several animals, by model; for guesses."""
    return {
        f"{model.replace('-', '_')}_{name}": getattr(found, name)
        for model, found in recorded_history().evaluations.items()
        for name in ("exact", "rewarded", "several")
    }
