"""How a run is doing, in one of a few words, with the numbers that say so and what to do about it.

Everything follows from the run's settings and its metrics. Single losses are noise, so that the smoothed training loss and the
evaluations are compared over stretches of the run.
"""

from bisect import bisect_right
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from lab.numbers import count, fixed, significant, whole
from lab.reading import chance
from lab.run_config import RunConfig, Status
from lab.run_folder import ACTIVE
from models.accounts import parameter_count

if TYPE_CHECKING:
    from lab.curves import History

Verdict = Literal["waiting", "warming up", "learning", "overfitting", "text too small", "plateau", "diverged"]

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
FEWEST_STEPS = 20
FEWEST_EVALUATIONS = 3
"""Less than this many in the stretch, and nothing is called a plateau."""
STANDS_STILL = 0.01
"""A loss that falls by less than this share of itself over the stretch stands still."""
SMALL_TEXT = 0.01
"""Training tokens for each parameter below which a model knows its text by heart before it has learned much from it. The choice
that makes the best of a given amount of computing is near 20 (Hoffmann et al. 2022)."""
GAP = 0.1
"""A validation loss this share above the training loss of the same step shows that the text is being learned by heart."""
NEAR_CHANCE = 0.98
"""Of ln V: a loss above this has learned nothing yet."""
HIGH_RATE = 0.02
"""A peak learning rate above which a small GPT-2 with AdamW is known to settle too high."""


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


def diagnose(config: RunConfig, status: Status, history: "History") -> Diagnosis:
    """What the run's curves mean. The first that fits: diverged, warming up, overfitting or text too small, plateau, learning."""
    if not history.steps:
        return Diagnosis("waiting", "no step has been taken yet.")
    if found := _diverged(config, status, history) or _warming_up(config, history):
        return found
    if found := _by_heart(config, status, history):
        return found
    return _plateau(config, history) or _learning(config, status, history)


def _diverged(config: RunConfig, status: Status, history: "History") -> Diagnosis | None:
    worst, now, rate = chance(config.model.vocab_size), history.smooth[-1], config.train.lr
    lower = f"Stop it and start a new run with a lower learning rate, such as {significant(rate / 10, 2)} instead of {rate:g}."
    latest = history.latest
    rescued = status.phase in ACTIVE  # the trainer does not apply such a step, and goes back after three
    if latest is not None and latest.loss is None and latest.lr is not None and not rescued:
        return Diagnosis("diverged", f"at step {whole(latest.step)} the loss is no number any more.", lower)
    if now > worst * (1 + ABOVE_CHANCE):
        evidence = f"it loses {fixed(now, 2)} nats a token, more than guessing evenly would ({fixed(worst, 2)})."
        return Diagnosis("diverged", evidence, lower)
    lowest = history.lowest_smooth
    if now > lowest * (1 + BACK_UP) and now - lowest > BACK_UP:
        at = whole(int(history.lowest_smooth_step))
        evidence = f"the training loss had come down to {fixed(lowest, 2)} at step {at} and is back at {fixed(now, 2)}."
        return Diagnosis("diverged", evidence, lower)
    return None


def _warming_up(config: RunConfig, history: "History") -> Diagnosis | None:
    last, train = history.last_training, config.train
    assert last is not None
    if train.steps is not None:
        end = train.warmup * train.steps
        over, until = last.step >= end, f"until step {whole(round(end))}"
    else:
        end = train.warmup * (train.minutes or 0.0) * 60
        over, until = last.seconds >= end, f"for the first {end:.0f} seconds"
    if over or last.lr is None:
        return None
    evidence = f"the learning rate is at {significant(last.lr, 2)} and rises to {train.lr:g} {until}."
    return Diagnosis("warming up", evidence, "The loss says little before that.")


def _by_heart(config: RunConfig, status: Status, history: "History") -> Diagnosis | None:
    """Overfitting, which for a text far too small is said to be the text's fault."""
    best, last = history.best_evaluation, history.last_evaluation
    if best is None or last is None or best.val_loss is None or last.val_loss is None:
        return None
    since = sum(step > best.step for step in history.eval_steps)
    then, now = _smooth_at(history, best.step), history.smooth[-1]
    risen = last.val_loss > best.val_loss * (1 + RISE)
    beside = _smooth_at(history, last.step)
    if beside is None or last.val_loss <= beside * (1 + GAP):
        return None
    overfits = since >= RISING_EVALUATIONS and risen and then is not None and now < then * (1 - STANDS_STILL)
    kept = f"The weights of step {whole(best.step)} are kept as the best"
    tokens, parameters = config.data.split, parameter_count(config.model)
    if tokens < SMALL_TEXT * parameters:
        evidence = (
            f"{whole(tokens)} tokens to learn from for {count(parameters)} parameters, gone through {_times(last.epoch)}; "
            f"it loses {fixed(beside, 2)} on them and {fixed(last.val_loss, 2)} on text it does not train on."
        )
        advice = f"A longer text ({count(SMALL_TEXT * parameters * 10)} tokens or more) or a smaller model would help."
        if overfits:
            advice = f"{kept}; on unseen text the model has only got worse since. {advice}"
        return Diagnosis("text too small", evidence, advice)
    if not overfits:
        return None
    assert then is not None
    evidence = (
        f"since step {whole(best.step)} the training loss fell {_from_to(then, now)} while the validation loss rose "
        f"{_from_to(best.val_loss, last.val_loss)}, over {since} evaluations."
    )
    if status.phase in ("training", "paused"):
        kept += ", so that it can be stopped, as --patience 3 would do"
    return Diagnosis("overfitting", evidence, f"{kept}; a longer text, a smaller model or more dropout would go further.")


def _plateau(config: RunConfig, history: "History") -> Diagnosis | None:
    at, evaluations = _stretch(history)
    first, last = history.eval_steps, history.val_losses
    steps = history.steps[-1] - history.steps[at]
    if steps < FEWEST_STEPS or len(first) - evaluations < FEWEST_EVALUATIONS:
        return None
    before, now = history.smooth[at], history.smooth[-1]
    # The lowest so far at either end: one evaluation by itself may lie by chance above its neighbours.
    val_before, val_now = min(last[: evaluations + 1]), min(last)
    if (before - now) > STANDS_STILL * now or (val_before - val_now) > STANDS_STILL * val_now:
        return None
    worst, rate = chance(config.model.vocab_size), config.train.lr
    evidence = (
        f"over the last {whole(int(steps))} steps the training loss {_moved(before, now)} and the lowest validation loss "
        f"{_moved(val_before, val_now)}."
    )
    if now > NEAR_CHANCE * worst:
        advice = (
            f"That is still about what guessing evenly loses ({fixed(worst, 2)}): the learning rate of {rate:g} is too low."
            if rate <= HIGH_RATE
            else f"That is still about what guessing evenly loses ({fixed(worst, 2)}): the learning rate of {rate:g} is too high."
        )
    elif rate > HIGH_RATE:
        advice = (
            f"A learning rate of {rate:g} is high for a model like this; a new run with {significant(rate / 10, 2)} may go lower."
        )
    else:
        advice = "More steps of this will not help much: it is what this model can make of this text."
    return Diagnosis("plateau", evidence, advice)


def _learning(config: RunConfig, status: Status, history: "History") -> Diagnosis:
    at, evaluations = _stretch(history)
    before, now = history.smooth[at], history.smooth[-1]
    steps = whole(int(history.steps[-1] - history.steps[at]))
    if at == len(history.steps) - 1:
        return Diagnosis("learning", f"it loses {fixed(now, 2)} nats a token; it has only begun.")
    evidence = f"over the last {steps} steps the training loss {_moved(before, now)}"
    if len(history.val_losses) - evaluations > 1:
        evidence += f" and the validation loss {_moved(history.val_losses[evaluations], history.val_losses[-1])}"
    still = before - now > 2 * STANDS_STILL * now
    advice = "It has ended while it still learned: a run with more steps would go lower." if still else ""
    return Diagnosis("learning", evidence + ".", advice if status.phase == "finished" else "")


def _from_to(before: float, now: float) -> str:
    """With as many decimals, from two to four, as tell them apart."""
    decimals = next((number for number in (2, 3) if fixed(before, number) != fixed(now, number)), 4)
    return f"from {fixed(before, decimals)} to {fixed(now, decimals)}"


def _moved(before: float, now: float) -> str:
    """`went from 1.92 to 1.71`, or `stayed at 1.7134` where four decimals do not tell them apart."""
    return f"stayed at {fixed(now, 4)}" if fixed(before, 4) == fixed(now, 4) else f"went {_from_to(before, now)}"


def _stretch(history: "History") -> tuple[int, int]:
    """Where the last `STRETCH` of the run begins: the index of its first training step, and of the evaluation at or before it."""
    start = history.steps[-1] * (1 - STRETCH)
    at = min(bisect_right(history.steps, start), len(history.steps) - 1)
    return at, max(0, bisect_right(history.eval_steps, start) - 1)


def _smooth_at(history: "History", step: float) -> float | None:
    """The smoothed training loss of a step; None before the first."""
    before = bisect_right(history.steps, step)
    return history.smooth[before - 1] if before else None


def _times(epochs: float) -> str:
    return f"{fixed(epochs, 1) if epochs < 10 else whole(round(epochs))} times"
