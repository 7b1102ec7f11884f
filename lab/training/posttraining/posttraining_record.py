"""Settings of a post-training, with the reasons for their defaults; its record, and the follower that reads on. No torch."""

from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import msgspec
from msgspec import Meta

from lab.runs.run_schema import Count, Fraction, Loss, NonNegative, Seconds, Step, Text, UnixTime, Word
from lab.training.job import INTERRUPTED, Begun, Ended, History, Job, JobFollower, histories_of
from lab.training.posttraining.question_pairs import QuestionPair

Rate = Annotated[float, Meta(gt=0, le=1)]
Few = Annotated[int, Meta(ge=1, le=100_000)]


class PosttrainSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that decides the result, beside the base model."""

    seed: Annotated[int, Meta(ge=0, le=1 << 31)] = 1
    pairs: Few = 400
    """Questions with answers to learn from: a small set. On the demo model it teaches the form of an answer and to name an animal
    of the story, not yet to look up which, so that there is something left to reinforce."""
    epochs: Annotated[int, Meta(ge=1, le=1000)] = 5
    hedged: Fraction = 0.1
    """Share of these answers that name both animals, as careless demonstrators hedge. Reinforcement can only find answers that
    the model sometimes gives."""
    sft_batch: Annotated[int, Meta(ge=1, le=1024)] = 16
    sft_lr: Rate = 4e-4
    """A tenth of the peak at which the demo model was pretrained, its lowest rate there: with 1e-3 it answered no better and its
    loss on stories rose by over a nat, with 4e-4 by less than a tenth."""
    held_out: Few = 100
    """Questions about other stories, for evaluations."""
    rounds: Step = 70
    """Rounds of reinforcement learning, each one update of the weights; done twice, with and without the KL penalty."""
    questions: Few = 16
    """Questions in a round."""
    group: Annotated[int, Meta(ge=2, le=1024)] = 8
    """Answers sampled to each: the others' mean reward is the baseline of one."""
    rl_lr: Rate = 4e-4
    """As in SFT, for a model of width 64; `rl_lr_for` gives that of a wider one. With 2e-4 the demo model had not learned which
    animal is asked for after 60 rounds, with 4e-4 it had."""
    beta: Loss = 0.2
    """Weight of the KL penalty, in reward per nat. To name both animals costs the SFT model about ln(1/0.1) = 2.3 nats, so 0.46,
    about as much as the half of the answers that it gets wrong would gain by it."""
    seconds: Annotated[float, Meta(gt=0, le=1e6)] = 540.0
    """Most seconds for all of it. Where they would not suffice, there are fewer rounds, the same number with and without."""


class PosttrainRequest(msgspec.Struct, frozen=True):
    """What is asked of the process: the folder of the base, and the settings."""

    base: str
    settings: PosttrainSettings


WIDTH = 64
"""The width that `rl_lr` is for."""


def rl_lr_for(settings: PosttrainSettings, width: int) -> float:
    """The learning rate of reinforcement learning for a model of this width: inversely proportional to it from `WIDTH` on.

    So scales the best rate of Adam for the matrices inside the layers (Yang et al. 2022, "Tensor Programs V"). With the same rate
    the reward of a model of width 128 fell again after twenty rounds.
    """
    return settings.rl_lr * min(1.0, WIDTH / width)


Model = Literal["base", "sft", "rl", "rl-free"]
"""The base model; fine-tuned on answers; reinforced with the KL penalty; reinforced without."""
MODELS: tuple[Model, ...] = ("base", "sft", "rl", "rl-free")


def tuned_name(base: str, model: Model) -> str:
    """Name of the run that a model becomes: `demo-sft`, `demo-rl`, `demo-rl-free`."""
    return f"{base}-{model}"


SHOWN = 8
"""Pairs and held-out questions that the file shows."""


class Started(msgspec.Struct, tag=True, frozen=True, kw_only=True):
    """The base model, the settings and the questions, once these are drawn."""

    base: Word
    base_step: Step
    settings: PosttrainSettings
    time: UnixTime
    pairs: Annotated[tuple[QuestionPair, ...], Meta(max_length=SHOWN)]
    """The first questions that are learned from."""
    questions: Annotated[tuple[QuestionPair, ...], Meta(max_length=SHOWN)]
    """The first held-out questions."""
    hedged: Count
    """Of the answers that are learned from, those that name both animals."""


class SftStep(msgspec.Struct, tag=True, frozen=True, kw_only=True):
    """A step of SFT: the loss of its batch, on the tokens of the answers alone, in nats per token, before the update."""

    step: Step
    steps: Step
    loss: Loss
    lr: Loss


class Round(msgspec.Struct, tag=True, frozen=True, kw_only=True):
    """A round of reinforcement learning: means over the answers sampled in it, before the update."""

    model: Model
    round: Step
    rounds: Step
    """Rounds that there will be, as far as is known."""
    reward: Fraction
    exact: Fraction
    """Share of the answers that are the right animal and nothing else."""
    several: Fraction
    """Share that name more than one animal."""
    well_formed: Fraction
    length: NonNegative
    """Tokens of an answer."""
    kl: NonNegative
    """KL divergence from the SFT model, in nats per answer; see `lab.training.posttraining.sft_and_rl`."""
    story_loss: Loss | None = None
    """Loss on ordinary stories, in nats per token; measured in some rounds only."""
    question: Text
    right: Word
    answer: Text
    """One of the answers."""
    seconds: Seconds = 0.0
    """Since the post-training began."""


class Evaluation(msgspec.Struct, tag=True, frozen=True, kw_only=True):
    """A model on the held-out questions, by greedy decoding, and on ordinary stories."""

    model: Model
    questions: Count
    exact: Fraction
    rewarded: Fraction
    several: Fraction
    well_formed: Fraction
    length: NonNegative
    answer_loss: Loss
    """Loss on the tokens of the right answers, in nats per token."""
    story_loss: Loss
    answers: Annotated[tuple[Text, ...], Meta(max_length=SHOWN)]
    """Its answers to the held-out questions that are shown."""


class Saved(msgspec.Struct, tag=True, frozen=True):
    """A model that is on disk as a run of its own; written at the end where they take the places of earlier ones."""

    model: Model
    run: Word


Line = Begun | Started | SftStep | Round | Evaluation | Saved | Ended


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
"""Post-trainings of the demo, one for each seed, which are shown where none was made here. A host names the processor."""


@cache
def recorded_histories() -> tuple[PosttrainingHistory, ...]:
    """The recorded post-trainings. The first is shown with its answers, the others as dots and ranges beside it."""
    return tuple(histories_of(RECORDED, PosttrainingHistory))


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


def recorded_measures() -> list[dict[str, float]]:
    """The shares of the recorded answers that are exact, rewarded, and name several animals, by model and seed; for guesses."""
    return [
        {
            f"{model.replace('-', '_')}_{name}": getattr(found, name)
            for model, found in history.evaluations.items()
            for name in ("exact", "rewarded", "several")
        }
        for history in recorded_histories()
    ]
