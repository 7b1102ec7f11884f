"""How a run is doing, in one of a few words, with the numbers that say so and what to do about it.

Everything follows from the run's settings, its metrics, its rollbacks and its text. Single losses are noise, so that the smoothed
training loss and the evaluations are compared over stretches of the run, and of two numbers both steps are named. Steps whose
update was not applied, and all before the last rollback, are left out: the weights of now do not come from them.
"""

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import numpy as np

from lab.core.number_format import count, fixed, probability, significant, whole
from lab.core.uniform_baseline import uniform_baseline
from lab.planning.run_request import default_rate, lower_rate
from lab.reports.baselines import STRETCH_BYTES, TextEntropy
from lab.runs.run_folder import ACTIVE
from lab.runs.run_schema import Event, RunConfig, Status
from models.parameter_count import parameter_count

if TYPE_CHECKING:
    from lab.core.float_columns import Column, Floats
    from lab.runs.loss_history import LossHistory

Verdict = Literal[
    "waiting",
    "too early to tell",
    "warming up",
    "rolled back",
    "learning",
    "overfitting",
    "text too small",
    "validation text differs",
    "validation text copied",
    "plateau",
    "diverged",
]

RISING_EVALUATIONS = 3
"""As many evaluations in a row above the lowest validation loss, and it is said to rise: one or two are noise."""
RISE = 0.005
"""It must have risen by this share too, or it stands still."""
ABOVE_CHANCE = 0.05
"""A smoothed loss this share above that of guessing evenly has diverged: even a model that knows nothing does better."""
BACK_UP = 0.25
"""A smoothed training loss that is this share above its own lowest has diverged: a step of the rate threw the model back."""
STRETCH = 0.25
"""What goes on now is judged over this last share of the steps."""
FEW_STEPS = 10
"""The mean or median of so many losses is no longer that of a single odd batch."""
FEWEST_STEPS = 20
"""Fewer steps say nothing."""
FEWEST_EVALUATIONS = 3
STEPS_WITHOUT_EVALUATIONS = 50
"""With less than so many evaluations in the stretch, it must have so many steps for a plateau."""
STANDS_STILL = 0.01
"""A loss that falls by less than this share of itself over the stretch stands still."""
SMALL_TEXT = 0.01
"""Training tokens for each parameter below which a model knows its text by heart before it has learned much from it. The choice
that makes the best of a given amount of computing is near 20 (Hoffmann et al. 2022)."""
TOKENS_EACH = 20
"""A vocabulary with fewer training tokens for each of its entries is large: most of them are seen a few times only."""
GAP = 0.1
"""A validation loss this share above the training loss of the same step shows that the text is being learned by heart."""
NEAR = 0.02
"""A loss within this share above an entropy is about that entropy."""
NEAR_SOURCE = 0.05
"""The same of the entropy of the source."""
FAR = 5.0
"""A peak learning rate so many times above or below the default is far from it."""
HIGH_DROPOUT = 0.5
DECAYED = 0.3
"""Of the peak: below this the learning rate itself slows everything down."""
FIRST_EPOCH_GAP = 0.2
"""In the first epoch every training loss is one on new text, so that a validation loss this share above it is not overfitting."""
DIVERGENCE, DIVERGENCE_TOKENS = 0.15, 4000
"""Nats per token by which the token frequencies of the two parts differ, in a validation part of at least so many tokens. The
tenths of one book are below 0.1, two languages above 0.2."""
COPIED = 0.5


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


def diagnose(
    config: RunConfig,
    status: Status,
    history: "LossHistory",
    *,
    phase: str = "",
    entropy: TextEntropy | None = None,
    events: Sequence[Event] = (),
) -> Diagnosis:
    """What the run's curves mean: the first verdict that fits, in the order in which `_CHECKS` names them.

    `phase` is the real one where that is not the status's: "interrupted". `entropy` is that of the run's own text, if known;
    `events` are all of the run.
    """
    case = _Case(config, status, history, phase or status.phase, entropy, events)
    if history.latest is None or history.latest.step == 0:
        return Diagnosis("waiting", "no step has been taken yet.")
    return next(found for check in _CHECKS if (found := check(case)))


@dataclass(frozen=True)
class _Evaluation:
    step: float
    loss: float


@dataclass(frozen=True)
class _Case:
    """A run, and what several verdicts ask of it."""

    config: RunConfig
    status: Status
    history: "LossHistory"
    phase: str
    entropy: TextEntropy | None
    events: Sequence[Event]

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
    def begin(self) -> int:
        """The step from which on the curve leads to the weights of now."""
        return self.rollbacks[-1] if self.rollbacks else 0

    @cached_property
    def _curve(self) -> "tuple[Sequence[float], Column, Floats]":
        """Steps, smoothed training losses and training losses."""
        from lab.runs.loss_history import smooth

        if not self.bad_steps and not self.rollbacks:
            return self.history.steps, self.history.smooth, self.history.losses[:]
        steps, losses = self.history.steps[:], self.history.losses[:]
        counts = ~np.isin(steps, self.bad_steps) & (steps > self.begin)
        return steps[counts], smooth(losses[counts]), losses[counts]

    @property
    def steps(self) -> Sequence[float]:
        return self._curve[0]

    @property
    def smooth(self) -> "Column":
        return self._curve[1]

    @property
    def now(self) -> float:
        return self.smooth[-1]

    @cached_property
    def evaluations(self) -> list[_Evaluation]:
        """Those since the last rollback, without that of step 0, whose weights have learned nothing."""
        pairs = zip(self.history.eval_steps, self.history.val_losses, strict=True)
        return [_Evaluation(step, loss) for step, loss in pairs if step > self.begin and not math.isnan(loss)]

    @property
    def factor(self) -> float:
        """What rollbacks have left of the learning rate."""
        return 0.5 ** len(self.rollbacks)

    @property
    def peak(self) -> float:
        return self.config.train.lr * self.factor

    @property
    def default(self) -> float:
        return default_rate(self.config.model.width, self.config.train.optimizer)

    @property
    def by_chance(self) -> float:
        return uniform_baseline(self.config.model.vocab_size)

    @property
    def of_late(self) -> float:
        """The smoothed training loss or, where that is less, the median of the last steps, which a single spike does not move."""
        return min(self.now, float(np.median(self._curve[2][-FEW_STEPS:])))

    def fell_to(self) -> tuple[float, float] | None:
        """How low the smoothed training loss has been, and at which step, if it is far above that again.

        At the beginning it is smoothed over a step or two only, so that the mean of `FEW_STEPS` must have been as low.
        """
        at = int(np.argmin(self.smooth[:]))
        found = self.smooth[at], self.steps[at]
        if not self._is_back_up(found[0]):
            return None
        means = np.convolve(self._curve[2], np.full(FEW_STEPS, 1 / FEW_STEPS), "valid")
        at = int(means.argmin())
        found = max(found, (float(means[at]), self.steps[at + FEW_STEPS - 1]))
        return found if self._is_back_up(found[0]) else None

    def _is_back_up(self, lowest: float) -> bool:
        return self.of_late > lowest * (1 + BACK_UP) and self.of_late - lowest > BACK_UP

    def smooth_at(self, step: float) -> float | None:
        """The smoothed training loss of a step; None before the first."""
        before = bisect_right(self.steps, step)
        return self.smooth[before - 1] if before else None

    @cached_property
    def stretch(self) -> int:
        """Where the last `STRETCH` of the run begins: the index of its first training step."""
        last = self.steps[-1]
        return min(bisect_right(self.steps, last - STRETCH * (last - self.begin)), len(self.steps) - 1)

    @cached_property
    def evaluated_stretch(self) -> list[_Evaluation]:
        """The evaluations of the stretch, from the one that is nearest to its begin."""
        if not self.evaluations:
            return []
        begin = self.steps[self.stretch]
        nearest = min(range(len(self.evaluations)), key=lambda at: abs(self.evaluations[at].step - begin))
        return self.evaluations[nearest:]

    def moved(self, *, lowest: bool = False) -> str:
        """What both losses did over the stretch, with the steps of each number.

        With `lowest`, of the validation loss the lowest so far at either end: one alone may by chance lie above its neighbours.
        """
        before, steps = self.smooth[self.stretch], (self.steps[self.stretch], self.steps[-1])
        words = f"from step {_step(steps[0])} to {_step(steps[1])} the training loss {_moved(before, self.now)}"
        found = self.evaluated_stretch
        if len(found) > 1:
            first, last = self.lowest_ends() if lowest else (found[0], found[-1])
            verb = "" if _went(before, self.now) else "went "
            words += f", and the {'lowest ' if lowest else ''}validation loss {_moved_at(first, last, verb)}"
        elif found:
            words += f"; the validation loss was {fixed(found[0].loss, 2)} at step {_step(found[0].step)}"
        return words + "."

    def lowest_ends(self) -> tuple[_Evaluation, _Evaluation]:
        """The lowest evaluations up to the begin of the stretch, and of all."""
        begin = self.evaluated_stretch[0].step
        ends = ([each for each in self.evaluations if each.step <= begin], self.evaluations)
        first, last = (min(each, key=lambda evaluation: evaluation.loss) for each in ends)
        return first, last

    def fell(self) -> float:
        """The share by which the training loss fell over the stretch."""
        return (self.smooth[self.stretch] - self.now) / max(self.now, 1e-9)

    def new_run_lower(self) -> str:
        """The advice after too high a rate; it follows from what is left of it, not from what was asked for."""
        rate = lower_rate(self.config.train, self.config.model.width, self.factor)
        stop = "Stop it and start" if self.phase in ACTIVE else "Start"
        default = ", the default for this width and optimizer" if rate == self.default else ""
        return f"{stop} a new run with a lower learning rate, such as {significant(rate, 2)}{default}, instead of {self.asked()}."

    def asked(self) -> str:
        """The learning rate asked for and, after rollbacks, what is left of it."""
        halved = f" ({significant(self.peak, 2)} after {_rollbacks(len(self.rollbacks))})"
        return f"{self.config.train.lr:g}{halved if self.rollbacks else ''}"


def _given_up(case: _Case) -> Diagnosis | None:
    """A run that has ended with a loss that is no number, or whose trainer saw no way on."""
    latest = case.history.latest
    assert latest is not None
    at = whole(latest.step)
    if case.phase == "failed" and case.bad_steps and case.bad_steps[-1] == latest.step:
        loss = "is NaN or infinite" if latest.loss is None else f"is {fixed(latest.loss, 2)}"
        evidence = f"the loss of step {at} {loss}, and the trainer has given up after {_rollbacks(len(case.rollbacks))}."
        return Diagnosis("diverged", evidence, case.new_run_lower())
    rescued = case.phase in ACTIVE  # the trainer does not apply such a step, and goes back after three
    if latest.loss is None and latest.lr is not None and not rescued:
        return Diagnosis("diverged", f"at step {at} the loss is NaN or infinite.", case.new_run_lower())
    return None


def _diverged(case: _Case) -> Diagnosis | None:
    """A smoothed loss that is out of bounds, which that of a few steps may be by chance, or for a moment at the beginning."""
    if len(case.steps) < FEW_STEPS or case.steps[-1] - case.begin < FEWEST_STEPS:
        return None
    now = case.of_late
    if now > case.by_chance * (1 + ABOVE_CHANCE):
        evidence = (
            f"at step {_step(case.steps[-1])} the smoothed training loss is {fixed(now, 2)} nats per token, more than "
            f"guessing all tokens alike would lose ({fixed(case.by_chance, 2)})."
        )
        return Diagnosis("diverged", evidence, case.new_run_lower())
    if lowest := case.fell_to():
        evidence = (
            f"the smoothed training loss had fallen to {fixed(lowest[0], 2)} at step {_step(lowest[1])} and is "
            f"{fixed(now, 2)} at step {_step(case.steps[-1])}."
        )
        return Diagnosis("diverged", evidence, case.new_run_lower())
    return None


def _warming_up(case: _Case) -> Diagnosis | None:
    last, train = case.history.last_training, case.config.train
    if last is None or last.lr is None:
        return None
    if train.steps is not None:
        end = train.warmup * train.steps
        over, until = last.step >= end, f"until step {whole(round(end))}"
    else:
        end = train.warmup * (train.minutes or 0.0) * 60
        over, until = last.seconds >= end, f"over the first {end:.0f} seconds"
    if over:
        return None
    halved = f" ({train.lr:g} was asked for; {_rollbacks(len(case.rollbacks))})" if case.rollbacks else ""
    evidence = (
        f"at step {whole(last.step)} the learning rate is {significant(last.lr, 2)} and rises to {_rate(case.peak)} "
        f"{until}{halved}."
    )
    return Diagnosis("warming up", evidence, "The loss says little before that.")


def _rolled_back(case: _Case) -> Diagnosis | None:
    if not case.rollbacks or case.last_step - case.begin >= FEWEST_STEPS:
        return None
    evidence = (
        f"at step {whole(case.begin)} the trainer went back to earlier weights and halved the learning rate, for the "
        f"{_ordinal(len(case.rollbacks))} time: {case.config.train.lr:g} was asked for, and its peak is now "
        f"{significant(case.peak, 2)}."
    )
    return Diagnosis("rolled back", evidence, f"The loss says little in the first {FEWEST_STEPS} steps after that.")


def _too_early(case: _Case) -> Diagnosis | None:
    if len(case.steps) and case.steps[-1] - case.begin >= FEWEST_STEPS:
        return None
    taken = case.last_step - case.begin
    loss = f" with a training loss of {fixed(case.now, 2)} nats per token" if len(case.steps) else ""
    evidence = f"{whole(taken)} step{'s' if taken > 1 else ''} so far{loss}."
    ended = case.phase == "finished"
    return Diagnosis("too early to tell", evidence, "It has ended; a run with more steps would tell more." if ended else "")


def _copied(case: _Case) -> Diagnosis | None:
    text = case.entropy.validation if case.entropy else None
    if text is None or text.copied is None or text.copied < COPIED:
        return None
    evidence = (
        f"{probability(text.copied, 0)} of the validation text (in stretches of about {STRETCH_BYTES} bytes) is word for word in "
        f"the training text, so its loss does not tell how the model does on new text; {case.moved()}"
    )
    return Diagnosis("validation text copied", evidence, "Remove the repetitions from the text, and start a new run.")


def _differs(case: _Case) -> Diagnosis | None:
    """A validation part that is unlike the training part, as the end of a text often is that was joined from several."""
    if not case.evaluations:
        return None
    last = case.evaluations[-1]
    beside = case.smooth_at(last.step)
    if beside is None or abs(last.loss - beside) <= GAP * beside:
        return None
    text = case.entropy.validation if case.entropy else None
    if text and text.tokens >= DIVERGENCE_TOKENS and text.divergence > DIVERGENCE:
        evidence = (
            f"the token frequencies of the training part predict the validation part at {fixed(text.cross_entropy, 2)} nats per "
            f"token, its own frequencies at {fixed(text.unigram, 2)}; at step {_step(last.step)} the model loses "
            f"{fixed(last.loss, 2)} there and {fixed(beside, 2)} in training."
        )
    elif (first := _first_epoch(case)) and first[0].loss > first[1] * (1 + FIRST_EPOCH_GAP):
        evidence = (
            f"at step {_step(first[0].step)}, in the first epoch, where the training text is new to the model as well, it loses "
            f"{fixed(first[0].loss, 2)} nats per token on the validation text and {fixed(first[1], 2)} in training."
        )
    else:
        return None
    advice = (
        "The validation part is the end of the text: mix the parts of the text, and start a new run. Until then the validation "
        "loss, by which the best weights are chosen, is that of another kind of text."
    )
    return Diagnosis("validation text differs", evidence, advice)


def _first_epoch(case: _Case) -> tuple[_Evaluation, float] | None:
    """The last evaluation of the first epoch, and the smoothed training loss of its step."""
    data, train, context = case.config.data, case.config.train, case.config.model.context
    windows = max(1, (data.split - 1) // context - 1)
    end = windows / train.batch
    found = [evaluation for evaluation in case.evaluations if FEWEST_STEPS <= evaluation.step <= end]
    beside = case.smooth_at(found[-1].step) if found else None
    return None if beside is None else (found[-1], beside)


def _by_heart(case: _Case) -> Diagnosis | None:
    """Overfitting, which for a text far too small is said to be the text's fault."""
    if not case.evaluations:
        return None
    best, last = min(case.evaluations, key=lambda evaluation: evaluation.loss), case.evaluations[-1]
    since = sum(evaluation.step > best.step for evaluation in case.evaluations)
    then, beside = case.smooth_at(best.step), case.smooth_at(last.step)
    if then is None or beside is None or last.loss <= beside * (1 + GAP):
        return None
    overfits = since >= RISING_EVALUATIONS and last.loss > best.loss * (1 + RISE) and beside < then * (1 - STANDS_STILL)
    kept = f"The weights of step {_step(best.step)} are kept as the best"
    tokens, parameters, vocabulary = case.config.data.split, parameter_count(case.config.model), case.config.model.vocab_size
    if case.config.tokenizer.kind != "bytes" and tokens < TOKENS_EACH * vocabulary:
        each = fixed(tokens / vocabulary, 1)
        smaller = f"Its {whole(vocabulary)} vocabulary entries have {each} training tokens each; a smaller vocabulary may help."
    else:
        smaller = ""
    if tokens < SMALL_TEXT * parameters:
        epoch = case.history.last_evaluation.epoch if case.history.last_evaluation else 0.0
        evidence = (
            f"{whole(tokens)} tokens to learn from for {count(parameters)} parameters, gone through {_times(epoch)}; at step "
            f"{_step(last.step)} the model loses {fixed(beside, 2)} in training and {fixed(last.loss, 2)} on validation text."
        )
        advice = f"A longer text ({count(SMALL_TEXT * parameters * 10)} tokens or more) or a smaller model would help."
        if overfits:
            advice = f"{kept}; the validation loss has not been lower since. {advice}"
        return Diagnosis("text too small", evidence, f"{advice} {smaller}".rstrip())
    if not overfits:
        return None
    evidence = (
        f"from step {_step(best.step)} to {_step(last.step)} the training loss fell {_from_to(then, beside)} while the "
        f"validation loss rose {_from_to(best.loss, last.loss)}, over {since} evaluations."
    )
    if case.phase in ("training", "paused"):
        kept += ", so that it can be stopped, as --patience 3 would do"
    advice = f"{kept}. A longer text, a smaller model or more dropout may help. {smaller}".rstrip()
    return Diagnosis("overfitting", evidence, advice)


def _plateau(case: _Case) -> Diagnosis | None:
    steps, found = case.steps[-1] - case.steps[case.stretch], case.evaluated_stretch
    evaluated = len(found) > FEWEST_EVALUATIONS
    if steps < (FEWEST_STEPS if evaluated else STEPS_WITHOUT_EVALUATIONS) or case.fell() > STANDS_STILL:
        return None
    if evaluated:
        before, now = case.lowest_ends()
        if before.loss - now.loss > STANDS_STILL * now.loss:
            return None
    return Diagnosis("plateau", case.moved(lowest=evaluated), " ".join(part for part in (_level(case), _way_out(case)) if part))


def _level(case: _Case) -> str:
    """What a loss that stands still is near to or above."""
    if near := _near_source(case):
        return near
    text, now = case.entropy, case.now
    if now >= case.by_chance * (1 - NEAR):
        words = f"That is about what guessing all tokens alike loses ({fixed(case.by_chance, 2)})"
    elif text is None:
        return ""
    elif now > text.unigram * (1 + NEAR):
        words = f"That is above the unigram entropy of the training text ({fixed(text.unigram, 2)})"
    elif now > text.bigram * (1 + NEAR):
        words = f"That is above the bigram entropy of the training text ({fixed(text.bigram, 2)})"
    elif now > text.bigram * (1 - NEAR):
        return f"That is about the bigram entropy of the training text ({fixed(text.bigram, 2)})."
    else:
        return ""
    return f"{words}, so it is not the limit of the text."


def _near_source(case: _Case) -> str:
    """That the validation loss is near the entropy of the source, where that is known and so."""
    last, source = case.history.last_evaluation, case.config.data.entropy_bits_per_byte
    if last is None or last.bits_per_byte is None or source is None or last.bits_per_byte > source * (1 + NEAR_SOURCE):
        return ""
    here = fixed(last.bits_per_byte, 3)
    return f"At {here} bits per byte it is near the entropy of the source ({fixed(source, 3)}), the least possible on average."


def _far_settings(case: _Case) -> str:
    """What to change about a learning rate that is far from the default, or a high dropout; empty if there is neither."""
    default = f"the default of {_rate(case.default)}"
    if case.peak > FAR * case.default:
        return f"A learning rate of {case.asked()} is far above {default}; a new run with that may go lower."
    if case.peak < case.default / FAR:
        return f"A learning rate of {case.asked()} is far below {default}; a new run with that may go lower."
    if (dropout := case.config.model.dropout) >= HIGH_DROPOUT:
        return f"A dropout of {dropout:g} is high, and the training loss is measured with it; a new run with less may go lower."
    return ""


def _way_out(case: _Case) -> str:
    """What to change where the loss stands still: the learning rate where it is far from the default, then the rest."""
    if far := _far_settings(case):
        return far
    if _near_source(case):
        return ""
    last, text = case.history.last_training, case.entropy
    if text is not None and abs(case.now - text.bigram) <= NEAR * text.bigram:
        return "If more than the token before tells what comes next, more steps, a larger model or a longer context may go lower."
    if last is not None and last.lr is not None and last.lr < DECAYED * case.peak:
        return (
            f"The learning rate has come down to {significant(last.lr, 2)}, so that steps change little now; a run with more "
            "steps, a larger model or a longer context may go lower."
        )
    return "More of these steps change little; a larger model or a longer context may go lower."


def _learning(case: _Case) -> Diagnosis:
    found = case.evaluated_stretch
    follows = len(found) < 2 or found[-1].loss < found[0].loss * (1 - RISE)
    early = any(event.kind == "early_stop" for event in case.events)
    still = case.phase == "finished" and case.fell() > STANDS_STILL and follows and not early
    advice = "It ended while its loss was still falling: a run with more steps may well go lower." if still else ""
    return Diagnosis("learning", case.moved(), _far_settings(case) or _near_source(case) or advice)


_CHECKS = (_given_up, _rolled_back, _diverged, _warming_up, _too_early, _copied, _differs, _by_heart, _plateau, _learning)


def _step(step: float) -> str:
    return whole(int(step))


def _rate(rate: float) -> str:
    return f"{float(f'{rate:.2g}'):g}"


def _rollbacks(number: int) -> str:
    return f"{number or 'no'} rollback{'' if number == 1 else 's'}"


def _ordinal(number: int) -> str:
    return {1: "first", 2: "second", 3: "third"}.get(number, f"{number}th")


def _from_to(before: float, now: float) -> str:
    """With as many decimals, from two to four, as tell them apart."""
    decimals = next((number for number in (2, 3) if fixed(before, number) != fixed(now, number)), 4)
    return f"from {fixed(before, decimals)} to {fixed(now, decimals)}"


def _moved(before: float, now: float) -> str:
    """`went from 1.92 to 1.71`, or `stayed at 1.7134` where four decimals do not tell them apart."""
    return f"went {_from_to(before, now)}" if _went(before, now) else f"stayed at {fixed(now, 4)}"


def _went(before: float, now: float) -> bool:
    return fixed(before, 4) != fixed(now, 4)


def _moved_at(first: _Evaluation, last: _Evaluation, verb: str) -> str:
    """`from 2.01 (step 220) to 1.93 (step 300)`; `verb` comes before it where none was said yet."""
    if first.step == last.step:
        return f"is still {fixed(first.loss, 2)} (step {_step(first.step)})"
    if not _went(first.loss, last.loss):
        return f"stayed at {fixed(last.loss, 4)} (steps {_step(first.step)} to {_step(last.step)})"
    decimals = next((number for number in (2, 3) if fixed(first.loss, number) != fixed(last.loss, number)), 4)
    before, now = (f"{fixed(each.loss, decimals)} (step {_step(each.step)})" for each in (first, last))
    return f"{verb}from {before} to {now}"


def _times(epochs: float) -> str:
    return f"{fixed(epochs, 1) if epochs < 10 else whole(round(epochs))} times"
