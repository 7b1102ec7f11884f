"""Plan of a scaling experiment: four sizes of one model, the same text, tokenizer, batch and minutes for each.

Everything but the size is the same in all runs. The learning rate is constant after the warm-up and falls in the last fifth of a
run, so that until then every point of a curve is one that a shorter run would have passed as well, and runs compare at equal
tokens (Hägele et al. 2024, "Scaling Laws and Compute-Optimal Training Beyond Fixed Training Durations").
"""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from lab.core.errors import UserError
from lab.core.limits import LIMITS, SMALLEST_VOCABULARY
from lab.core.machine import machine
from lab.data.corpus import STDIN
from lab.data.text_source import open_corpus, sources_of
from lab.planning.resolve_run import ResolvedRun, TextSize, resolve
from lab.planning.settings_table import RunRequest
from lab.planning.step_time import StepTimer
from lab.runs.run_schema import Count, UnixTime, Word
from lab.runs.schema_parts import LONGEST_SOURCE
from models.config import LARGEST, ModelConfig
from models.learning_rate import DECAY
from models.parameter_count import parameter_count

FORMAT = 1
DEFAULT_NAME = "scaling"
DEFAULT_TEXT = "stories:20MB"
"""Long enough that no size sees it more than a few times in the default minutes, so that none memorizes it."""
DEFAULT_MINUTES = 2.0
"""Of each size, without its evaluations."""
EVALUATIONS = 16
"""Evaluations of each run, where they fit into `EVALUATIONS_SHARE`: enough points for a curve."""
EVALUATIONS_IN_COMMON = 5
"""Evaluations of each run, where they fit, before it has seen as many tokens as the slowest will: sizes are compared there. One
would do if the slowest were always as quick as when it was timed; on a busy machine it may see only a fifth."""
EVALUATIONS_SHARE = 0.25
"""Most time of a run's evaluations, which comes on top, as a share of its minutes: a short run has fewer."""
EVALUATION_STEPS, EVALUATION_SECONDS = 4.0, 0.15
"""Time of an evaluation: that of about so many steps, and seconds for a sample, the meters of heads and saving."""
SAMPLE_TOKENS = 40
"""Tokens of the text that is written at each evaluation: half of the usual, for there are many."""
WARMUP = 0.03
"""Share of a run in which the learning rate rises."""
DECAY_BEGINS = 1 - DECAY
"""Share of a run after which the learning rate falls."""


class ModelSize(msgspec.Struct, frozen=True):
    """The shape of one of the models."""

    layers: Annotated[int, Meta(ge=1, le=LARGEST["layers"])]
    heads: Annotated[int, Meta(ge=1, le=LARGEST["heads"])]
    width: Annotated[int, Meta(ge=1, le=LARGEST["width"])]


SIZES = (ModelSize(1, 1, 16), ModelSize(2, 2, 32), ModelSize(3, 4, 64), ModelSize(5, 4, 128))
"""About four times the parameters each, from 16 thousand to 1.1 million with the default vocabulary: on two cores the smallest
sees the text several times in two minutes, the largest a fifth of it."""
LEARNING_RATE = 0.008
"""Of all sizes: the default for the width of the largest (`lab.planning.default_hyperparameters`). For the smaller ones, twice as
much, their default, reaches the same loss, and fluctuates more before it falls: 1 × 16 after 4,000 steps 0.643 with 0.016, 0.641
with 0.008, 0.656 with 0.004; 2 × 32 after 2,500 steps 0.387 with 0.008, 0.385 with 0.004."""


class ScalingPlan(msgspec.Struct, frozen=True, kw_only=True):
    """plan.json of an experiment, written once."""

    format: Count = FORMAT
    text: Annotated[str, Meta(max_length=LONGEST_SOURCE)] = DEFAULT_TEXT
    encoding: Word | None = None
    minutes: Annotated[float, Meta(**LIMITS["minutes"].meta())] = DEFAULT_MINUTES
    """Training time of each size."""
    minutes_of_steps: bool = False
    """True: of its steps alone, as in every new experiment; evaluations and samples were part of it in older ones."""
    sizes: Annotated[tuple[ModelSize, ...], Meta(min_length=2, max_length=8)] = SIZES
    """The smallest first."""
    context: Annotated[int, Meta(ge=1, le=LARGEST["context"])] = 256
    """Longer than most stories: a window that begins within one cannot know its beginning."""
    vocab: Annotated[int, Meta(ge=SMALLEST_VOCABULARY, le=LARGEST["vocab_size"])] = 512
    """Tokens that BPE learns from the text, at most: small, so that the smallest model is more than its embedding."""
    batch: Annotated[int, Meta(**LIMITS["batch"].meta())] = 8
    """Windows of a step."""
    created: UnixTime = 0.0
    guess: Annotated[int, Meta(ge=1, le=8)] | None = None
    """The size, from 1, that the learner expects to have the lowest loss after the same minutes; None for no guess."""

    @property
    def seconds(self) -> float:
        """Training time of all sizes together."""
        return 60 * self.minutes * len(self.sizes)

    def models(self) -> list[ModelConfig]:
        """The models, with the vocabulary that was asked for: a short text has fewer merges."""
        return [
            ModelConfig(layers=each.layers, heads=each.heads, width=each.width, context=self.context, vocab_size=self.vocab)
            for each in self.sizes
        ]

    def request(self, at: int, name: str, home: Path, eval_every: int | None = None) -> RunRequest:
        """The request for the run of the size `at`, from 0."""
        size = self.sizes[at]
        return RunRequest(
            text=self.text,
            encoding=self.encoding,
            name=name,
            home=home,
            layers=size.layers,
            heads=size.heads,
            width=size.width,
            context=self.context,
            vocab=self.vocab,
            batch=self.batch,
            minutes=self.minutes,
            minutes_of_steps=self.minutes_of_steps,
            dropout=0.0,
            lr=LEARNING_RATE,
            schedule="wsd",
            warmup=WARMUP,
            eval_every=eval_every,
            sample_tokens=SAMPLE_TOKENS,
        )

    def resolved(self, at: int, home: Path) -> ResolvedRun:
        """The run of the size `at` with every setting decided, before the text is read."""
        text = TextSize(self.text, self.encoding, vocab_size=self.vocab)
        return resolve(self.request(at, "", home), text, machine())


def check_plan(plan: ScalingPlan) -> None:
    """Check that the models can be and become larger. Raises UserError otherwise."""
    counts = [parameter_count(model) for model in plan.models()]
    if counts != sorted(set(counts)):
        raise UserError("The sizes of a scaling experiment must grow from one to the next.")


def absolute_source(plan: ScalingPlan) -> str:
    """The text of the plan by a name that holds in any working directory. Raises: UserError, if it cannot be opened."""
    if STDIN in sources_of(plan.text):
        raise UserError(
            "A scaling experiment reads its text once for each size, so it cannot be standard input; save it in a file."
        )
    return open_corpus(plan.text, plan.encoding).source


def evaluation_interval(plan: ScalingPlan, at: int, home: Path, waiting: Callable[[], None]) -> int:
    """Steps between the evaluations of a size, by the time of a step of each size, which is measured where it is not known.

    That is `EVALUATIONS` of them, or more where `EVALUATIONS_IN_COMMON` asks for it, as far as `EVALUATIONS_SHARE` allows.
    `waiting` is called again and again meanwhile, and cancels by raising. Raises UserError if the steps cannot be computed.
    """
    steps = []
    for size in range(len(plan.sizes)):
        run = plan.resolved(size, home)
        seconds = StepTimer(run.model, run.train, home).measure(waiting=waiting)
        assert seconds is not None, "never cancelled"
        steps.append(60 * plan.minutes / seconds)
    wanted = min(steps[at] / EVALUATIONS, DECAY_BEGINS * min(steps) / EVALUATIONS_IN_COMMON)
    cost = EVALUATION_STEPS + EVALUATION_SECONDS * steps[at] / (60 * plan.minutes)  # of an evaluation, in steps
    return math.ceil(max(wanted, cost / EVALUATIONS_SHARE))
