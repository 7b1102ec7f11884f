"""Input and result of the diagnosis: a run with its curve since the last rollback and its trend, in words; a verdict."""

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import numpy as np

from lab.analysis.baselines import NATS, Baseline, LossUnit, TextEntropy
from lab.core.number_format import fixed, significant, whole
from lab.planning.default_hyperparameters import lower_lr, usual_lr
from lab.runs.run_folder import ACTIVE
from lab.runs.run_in_words import during_training
from lab.runs.run_schema import Event, FinalEvaluation, RunConfig, Status
from lab.runs.schema_parts import CopiedShare
from models.config import uniform_baseline

if TYPE_CHECKING:
    from lab.runs.run_history import Column, Floats, LossHistory


RISE = 0.005
"""Least rise of the validation loss, as a fraction."""
BACK_UP = 0.25
"""Excess of a diverged smoothed training loss over its own lowest, as a fraction."""
TREND_SHARE = 0.25
"""Last fraction of the steps, over which the trend is measured."""
FEW_STEPS = 10
"""Losses whose mean or median no single odd batch decides."""
NEAR = 0.02
"""Excess of a loss that counts as about an entropy, as a fraction."""
PARTLY_COPIED = 0.1
"""Fraction of the validation text found verbatim in the training text from which on its loss does not say that the model overfits
as little on new text."""


Verdict = Literal[
    "waiting",
    "losses missing",
    "fine-tuned",
    "imported",
    "too early to tell",
    "too short to say",
    "nothing learned",
    "little learned",
    "warming up",
    "rolled back",
    "learning",
    "learned",
    "overfitting",
    "text too small",
    "validation text differs",
    "validation text copied",
    "plateau",
    "diverged",
]


@dataclass(frozen=True)
class Diagnosis:
    """A verdict, the numbers that it rests on, and what to do; `advice` may be empty."""

    verdict: Verdict
    evidence: str
    advice: str = ""

    @property
    def sentences(self) -> str:
        """All of it, the verdict first."""
        return " ".join(part for part in (f"{self.verdict.capitalize()}: {self.evidence}", self.advice) if part)


@dataclass(frozen=True)
class Evaluation:
    """The validation loss at a step."""

    step: float
    loss: float


def step_text(step: float) -> str:
    return whole(int(step))


def short_lr(lr: float) -> str:
    """`0.003`: a learning rate with two digits."""
    return f"{float(f'{lr:.2g}'):g}"


def rollbacks_text(number: int) -> str:
    return f"{number or 'no'} rollback{'' if number == 1 else 's'}"


def from_to(unit: LossUnit, before: float, now: float, steps: tuple[str, str] = ("", "")) -> str:
    """`from 1.92 to 1.71`, with as many decimals, from two to four, as tell them apart; each may have its step behind it."""
    decimals = next((number for number in (2, 3) if unit(before, number) != unit(now, number)), 4)
    return f"from {unit(before, decimals)}{steps[0]} to {unit(now, decimals)}{steps[1]}"


def moved(unit: LossUnit, before: float, now: float) -> str:
    """`went from 1.92 to 1.71`, or `stayed at 1.7134` where four decimals do not tell them apart."""
    return f"went {from_to(unit, before, now)}" if differs_visibly(unit, before, now) else f"stayed at {unit(now, 4)}"


def differs_visibly(unit: LossUnit, before: float, now: float) -> bool:
    return unit(before, 4) != unit(now, 4)


def moved_at(unit: LossUnit, first: Evaluation, last: Evaluation, verb: str) -> str:
    """`from 2.01 (step 220) to 1.93 (step 300)`; `verb` comes before it where none was said yet."""
    if first.step == last.step:
        return f"is still {unit(first.loss)} (step {step_text(first.step)})"
    if not differs_visibly(unit, first.loss, last.loss):
        return f"stayed at {unit(last.loss, 4)} (steps {step_text(first.step)} to {step_text(last.step)})"
    steps = f" (step {step_text(first.step)})", f" (step {step_text(last.step)})"
    return verb + from_to(unit, first.loss, last.loss, steps)


@dataclass(frozen=True)
class DiagnosedRun:
    """A run, with the figures that the checks of the diagnosis share."""

    config: RunConfig
    status: Status
    history: "LossHistory"
    phase: str
    entropy: TextEntropy | None
    events: Sequence[Event]
    unit: LossUnit = NATS

    @cached_property
    def bad_steps(self) -> list[int]:
        return [event.step for event in self.events if event.kind == "bad_step" and event.step <= self.last_step]

    @cached_property
    def rollbacks(self) -> list[int]:
        return [event.step for event in self.events if event.kind == "back" and event.step <= self.last_step]

    @property
    def last_step(self) -> int:
        return self.history.latest.step if self.history.latest else 0

    @property
    def start(self) -> int:
        """The step from which the curve leads to the present weights."""
        return self.rollbacks[-1] if self.rollbacks else 0

    @cached_property
    def _curve(self) -> "tuple[Sequence[float], Column, Floats]":
        """Steps, smoothed training losses and training losses."""
        from lab.runs.run_history import smooth

        if not self.bad_steps and not self.rollbacks:
            return self.history.steps, self.history.smooth, self.history.losses[:]
        steps, losses = self.history.steps[:], self.history.losses[:]
        counts = ~np.isin(steps, self.bad_steps) & (steps > self.start)
        return steps[counts], smooth(losses[counts]), losses[counts]

    @property
    def steps(self) -> Sequence[float]:
        return self._curve[0]

    @property
    def smoothed(self) -> "Column":
        return self._curve[1]

    @property
    def loss(self) -> float:
        return self.smoothed[-1]

    @cached_property
    def evaluations(self) -> list[Evaluation]:
        """Evaluations since the last rollback, without that of step 0, whose weights have learned nothing."""
        pairs = zip(self.history.eval_steps, self.history.val_losses, strict=True)
        return [Evaluation(step, loss) for step, loss in pairs if step > self.start and not math.isnan(loss)]

    @property
    def val_loss_name(self) -> str:
        """`validation loss (on 30% of that text)` of `evaluations`; at the end, a loss on all of the text stands beside them."""
        share = during_training(self.config.data, self.status) if self.status.final else None
        return "validation loss" + (f" (on {share.percent} of that text)" if share and not share.is_whole else "")

    @property
    def times_read(self) -> str:
        """Times that the training text had been read at the last evaluation."""
        epoch = self.history.last_evaluation.epoch if self.history.last_evaluation else 0.0
        return fixed(epoch, 1) if epoch < 10 else whole(round(epoch))

    @property
    def lr_factor(self) -> float:
        """Factor by which rollbacks have lowered the learning rate."""
        return 0.5 ** len(self.rollbacks)

    @property
    def peak_lr(self) -> float:
        return self.config.train.lr * self.lr_factor

    @property
    def default_lr(self) -> float:
        return usual_lr(self.config)

    @property
    def uniform_baseline(self) -> float:
        return uniform_baseline(self.config.model.vocab_size)

    @cached_property
    def measured(self) -> Evaluation | None:
        """The loss on all of the validation text at the end, else that of the latest evaluation since the last rollback."""
        if self.final is not None and self.final.val_loss is not None:
            return Evaluation(self.final.step, self.final.val_loss)
        return self.evaluations[-1] if self.evaluations else None

    @property
    def final(self) -> FinalEvaluation | None:
        """The evaluation at the end of the run."""
        return self.status.final if self.phase == "finished" else None

    @cached_property
    def level(self) -> Baseline | None:
        """The baseline that needs no context, uniform or unigram, which the measured loss is about or above; None below both."""
        text = self.entropy
        if self.measured is None:
            loss, unigram = self.loss if len(self.steps) else 0.0, text.unigram if text else None
        else:
            loss, validation = self.measured.loss, text.validation if text else None
            unigram = validation.losses(on_all=self.final is not None).unigram if validation else None
        levels = [Baseline("the uniform baseline", "uniform", self.uniform_baseline)]
        if unigram is not None:
            levels.append(Baseline("the unigram baseline, token frequencies alone", "unigram", unigram))
        return next((each for each in levels if loss >= each.loss * (1 - NEAR)), None)

    @property
    def copied(self) -> CopiedShare | None:
        """The share of the validation text that also stands in the training text; None where it is not known."""
        return self.config.data.copied or (self.entropy.copied if self.entropy else None)

    @property
    def shows_new_text(self) -> bool:
        """True if the validation text is known to be new, so that its loss says whether the model overfits."""
        return self.copied is not None and self.copied.share < PARTLY_COPIED

    @property
    def recent_loss(self) -> float:
        """The smoothed training loss or, where that is less, the median of the last steps, which a single spike does not move."""
        return min(self.loss, float(np.median(self._curve[2][-FEW_STEPS:])))

    def lowest_before_rise(self) -> tuple[float, float] | None:
        """The lowest smoothed training loss, over `FEW_STEPS` at least, and its step, if the loss is far above that again."""
        at = int(np.argmin(self.smoothed[:]))
        found = self.smoothed[at], self.steps[at]
        if not self._is_back_up(found[0]):
            return None
        means = np.convolve(self._curve[2], np.full(FEW_STEPS, 1 / FEW_STEPS), "valid")
        at = int(means.argmin())
        found = max(found, (float(means[at]), self.steps[at + FEW_STEPS - 1]))
        return found if self._is_back_up(found[0]) else None

    def _is_back_up(self, lowest: float) -> bool:
        return self.recent_loss > lowest * (1 + BACK_UP) and self.recent_loss - lowest > BACK_UP

    def smoothed_at(self, step: float) -> float | None:
        """The smoothed training loss of a step; None before the first."""
        before = bisect_right(self.steps, step)
        return self.smoothed[before - 1] if before else None

    @cached_property
    def trend_start(self) -> int:
        """Index of the first training step of the last `TREND_SHARE` of the run."""
        last = self.steps[-1]
        return min(bisect_right(self.steps, last - TREND_SHARE * (last - self.start)), len(self.steps) - 1)

    @cached_property
    def trend_evaluations(self) -> list[Evaluation]:
        """Evaluations from the one nearest to the start of the trend, of those half the trend or more before the last one and not
        long before the trend. Only the last where there is none: as where a run by minutes ends just after its first one."""
        if not self.evaluations:
            return []
        start, last = self.steps[self.trend_start], self.evaluations[-1].step
        length, known = self.steps[-1] - start, self.evaluations
        first = [at for at, each in enumerate(known) if start - 2 * length <= each.step <= last - length / 2]
        return known[min(first, key=lambda at: abs(known[at].step - start), default=-1) :]

    def describe_trend(self, *, lowest: bool = False) -> str:
        """The change of both losses over the trend, between the same two evaluations, with the steps of each number.

        With `lowest`, the training loss over all of the trend, and the lowest validation loss so far at either end: a single one
        may happen to lie above its neighbours.
        """
        found = self.trend_evaluations
        steps = (self.steps[self.trend_start], self.steps[-1])
        if len(found) > 1 and not lowest:  # both losses at the same steps
            steps = (found[0].step, found[-1].step)
        before, now = (self.smoothed_at(step) for step in steps)
        if before is None or now is None:
            before, now = self.smoothed[self.trend_start], self.loss
        moves = moved(self.unit.train, before, now)
        words = f"from step {step_text(steps[0])} to {step_text(steps[1])} the training loss {moves}"
        if len(found) > 1:
            first, last = self.lowest_ends() if lowest else (found[0], found[-1])
            verb = "" if differs_visibly(self.unit.train, before, now) else "went "
            if (first.step, last.step) == steps and differs_visibly(self.unit, first.loss, last.loss):
                move = verb + from_to(self.unit, first.loss, last.loss)
            else:
                move = moved_at(self.unit, first, last, verb)
            words += f", and the {'lowest ' if lowest else ''}{self.val_loss_name} {move}"
        elif found:
            words += f"; the {self.val_loss_name} was {self.unit(found[0].loss)} at step {step_text(found[0].step)}"
        return words + "."

    def describe_all(self) -> str:
        """The change of the training loss from the first step of the curve."""
        moves = moved(self.unit.train, self.smoothed[0], self.loss)
        return f"from step {step_text(self.steps[0])} to {step_text(self.steps[-1])} the training loss {moves}."

    def lowest_ends(self) -> tuple[Evaluation, Evaluation]:
        """The lowest evaluations up to the start of the trend, and of all."""
        start = self.trend_evaluations[0].step
        ends = ([each for each in self.evaluations if each.step <= start], self.evaluations)
        first, last = (min(each, key=lambda evaluation: evaluation.loss) for each in ends)
        return first, last

    def relative_fall(self) -> float:
        """Fall of the training loss over the trend, relative to the loss."""
        return (self.smoothed[self.trend_start] - self.loss) / max(self.loss, 1e-9)

    def lower_lr_advice(self) -> str:
        """Advice after too high a learning rate, relative to what rollbacks have left of it."""
        lr = lower_lr(self.config, self.lr_factor)
        stop = "Stop it and start" if self.phase in ACTIVE else "Start"
        default = ", the default for this width and optimizer" if lr == self.default_lr else ""
        lower = f"{significant(lr, 2)}{default}, instead of {self.describe_lr()}"
        return f"{stop} a new run with a lower learning rate, such as {lower}."

    def describe_lr(self) -> str:
        """`3 (0.38 after 3 rollbacks)`: the learning rate of the settings, and what rollbacks have left of it."""
        halved = f" ({significant(self.peak_lr, 2)} after {rollbacks_text(len(self.rollbacks))})"
        return f"{self.config.train.lr:g}{halved if self.rollbacks else ''}"
