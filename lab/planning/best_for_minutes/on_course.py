"""The loss to expect of a run while it trains: what its own curve says, with what was expected before it began.

The learning rate falls to the end of a run, and so does the loss, by a share of what it fell by lately. `STILL_TO_FALL` are
medians over the runs of `tests.lab.planning.loss_sweep`.
"""

import math
from typing import NamedTuple

import numpy as np

from lab.core.number_format import fixed, whole
from lab.planning.best_for_minutes.loss_law import LAW, learning_of
from lab.runs.run_history import LossHistory
from lab.runs.run_schema import RunConfig
from lab.runs.schema_parts import ExpectedLoss

STILL_TO_FALL = ((0.1, 2.4), (0.25, 1.35), (0.5, 0.8), (0.75, 0.24), (1.0, 0.0))
"""Progress of a run, and how much its loss falls from there to the end, over what it fell by since half of that progress;
of logarithms."""
AS_UNSURE = 0.8
"""Range of what is still to fall, as a share of it: it held for eight of ten runs."""
SURE = 0.01
"""Range that remains at the end, in the logarithm of the loss."""
SLOWER = 1.25
"""Planned steps over those that fit at the present speed, from which on a run is called slow."""
FAR_SLOWER = 4.0
"""The same from which on no loss is told: the law says nothing of such short runs of such a model."""
FEWEST_STEPS = 10
"""Steps from which on the speed is known."""


class Course(NamedTuple):
    """A run on its way: the loss to expect at its end, and the steps that fit into its minutes at its speed so far."""

    expected: ExpectedLoss
    steps: float
    costs: float
    """What the steps that do not fit cost, in bits per byte; 0 where it is as quick as planned."""


def course_of(config: RunConfig, history: LossHistory) -> Course | None:
    """The course of a run whose loss was expected before it began; None of others."""
    before = config.expected
    if before is None:
        return None
    expected, steps, costs = before, 0.0, 0.0
    latest = history.latest
    if config.train.minutes is not None and before.steps and latest is not None and latest.step >= FEWEST_STEPS:
        steps = latest.step / max(_progress(config, latest.step, latest.seconds), 1e-9)
        if before.steps > SLOWER * steps:
            slowed = _by_law(config, steps) / _by_law(config, before.steps)
            costs = before.bits_per_byte * (slowed - 1)
            expected = ExpectedLoss(
                bits_per_byte=before.bits_per_byte * slowed,
                low=before.low * slowed,
                high=before.high * slowed,
                by_law=before.by_law,
                steps=before.steps,
            )
    return Course(_corrected(config, history, expected), steps, costs)


def course_in_words(config: RunConfig, history: LossHistory) -> str:
    """The course in a sentence or two; empty for a run of which nothing was expected."""
    course = course_of(config, history)
    if course is None or config.expected is None:
        return ""
    now, before = course.expected, config.expected
    slower = f"Slower than planned: some {whole(round(course.steps))} steps fit instead of {whole(before.steps)}"
    if course.steps and before.steps > FAR_SLOWER * course.steps:
        return f"{slower}. What was expected, {before.in_words}, is out of reach."
    if now == before:
        words = f"Expected at the end: {now.in_words}."
    else:
        words = f"On course for {now.in_words}; expected before it began: {before.in_words}."
    if course.costs and not before.is_wide:
        words += f" {slower}, which costs about {fixed(course.costs, 2)} bits per byte."
    return words


def _progress(config: RunConfig, step: float, seconds: float) -> float:
    train = config.train
    done = step / train.steps if train.steps is not None else seconds / (60 * (train.minutes or 1.0))
    return min(1.0, max(0.0, done))


def _by_law(config: RunConfig, steps: float) -> float:
    """By the law for a usual text; what it says of two lengths is compared."""
    return LAW.bits_per_byte(learning_of(config.model, config.train, steps, config.data.split, config.data.train_bytes, None))


def _corrected(config: RunConfig, history: LossHistory, before: ExpectedLoss) -> ExpectedLoss:
    """What is expected, with what the evaluations so far say of the end, each as sure as its range is narrow."""
    evaluation = history.last_evaluation
    progress = [_progress(config, step, seconds) for step, seconds in zip(history.eval_steps, history.eval_seconds, strict=True)]
    if evaluation is None or not evaluation.val_loss or not evaluation.bits_per_byte or progress[-1] < STILL_TO_FALL[0][0]:
        return before
    losses = [float(loss) for loss in history.val_losses]
    if len(losses) < 2:  # that before the first step, late on a busy machine
        return before
    at_half = float(np.interp(progress[-1] / 2, progress, losses))
    fell = max(0.0, math.log(at_half / losses[-1]))
    to_fall = fell * float(np.interp(progress[-1], [at for at, _ in STILL_TO_FALL], [share for _, share in STILL_TO_FALL]))
    lowest = min(losses[1:]) * evaluation.bits_per_byte / evaluation.val_loss
    spread, own_spread = math.log(before.high / before.bits_per_byte), SURE + AS_UNSURE * to_fall
    weight, own_weight = 1 / max(spread, SURE) ** 2, 1 / own_spread**2
    own = math.log(lowest) - to_fall
    center = math.exp((math.log(before.bits_per_byte) * weight + own * own_weight) / (weight + own_weight))
    factor = math.exp((weight + own_weight) ** -0.5)
    return ExpectedLoss(bits_per_byte=center, low=center / factor, high=center * factor, by_law=before.by_law, steps=before.steps)
