"""Schema of progress.jsonl, which the process of post-training appends to and screens follow. No torch."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from lab.posttraining.question_pairs import QuestionPair
from lab.posttraining.settings import PosttrainSettings
from lab.runs.run_schema import Count, Fraction, Loss, NonNegative, Seconds, Sentence, Step, Text, UnixTime, Word

Model = Literal["base", "sft", "rl", "rl-free"]
"""The base model; fine-tuned on answers; reinforced with the KL penalty; reinforced without."""
MODELS: tuple[Model, ...] = ("base", "sft", "rl", "rl-free")

SHOWN = 8
"""Pairs and held-out questions that the file shows."""


class Begun(msgspec.Struct, tag=True, frozen=True, kw_only=True):
    """The first line: the process at work."""

    pid: Count
    host: Word


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
    prediction: Word = ""
    """The learner's prediction, one of `lab.posttraining.posttraining_history.CHOICES`; "" for none."""


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
    """KL divergence from the SFT model, in nats per answer; see `lab.posttraining.policy_gradient`."""
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
    """A model that is on disk as a run of its own; not written where the models take the places of earlier ones at the end."""

    model: Model
    run: Word


class Ended(msgspec.Struct, tag=True, frozen=True, kw_only=True):
    """The last line."""

    is_finished: bool
    seconds: Seconds
    message: Sentence = ""
    """The reason, if it is not finished, or if the runs have other names than those of an earlier one."""
    runs: dict[Model, Word] = {}
    """Names of the runs that take the places of earlier ones, now that all are made; of those that stand."""


Line = Begun | Started | SftStep | Round | Evaluation | Saved | Ended
