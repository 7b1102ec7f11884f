"""What a run's numbers mean, in sentences made of those numbers."""

import math
from bisect import bisect_right
from typing import TYPE_CHECKING

from lab.core.number_format import count, duration, fixed, whole
from lab.runs.evaluation_coverage import at_the_end, during_training
from lab.runs.run_schema import FinalEvaluation, RunConfig, Status

if TYPE_CHECKING:
    from lab.runs.loss_history import History

SAME = 0.03
"""Training and validation loss this near each other, as a fraction, are called about the same."""


def uniform_baseline(vocab_size: int) -> float:
    """Loss in nats per token of guessing all tokens alike: ln V."""
    return math.log(vocab_size)


def choices(loss: float) -> str:
    """The number of equally likely tokens among which a choice is as uncertain as `loss` nats: e^loss, the perplexity."""
    perplexity = math.exp(min(loss, 700.0))
    return fixed(perplexity, 1) if perplexity < 9.95 else count(round(perplexity))


def run_sentence(config: RunConfig, status: Status, history: "History", *, copied: bool = False) -> str:
    """A few sentences on how far the model has come. `copied` says that the validation text is in the training text too."""
    vocabulary = config.tokenizer.vocab_size
    worst = fixed(uniform_baseline(vocabulary), 2)
    by_chance = f"The model guesses among {whole(vocabulary)} tokens; by chance it would lose {worst} nats a token."
    if status.phase == "failed":
        return status.message or "The trainer failed without saying why; its trainer.log in the run's folder may say more."
    if history.last_training is None and history.last_evaluation is None:
        return by_chance + " It has not taken a step yet."
    parts = [by_chance]
    loss = history.smooth[-1] if history.smooth else None
    evaluation = history.last_evaluation
    if loss is not None:
        parts.append(f"It loses {fixed(loss, 2)} now, as if it were choosing among {choices(loss)}.")
    if evaluation is not None and evaluation.val_loss is not None:
        parts.append(_on_validation_text(evaluation.step, evaluation.val_loss, history, copied, config.model.dropout > 0))
    if config.data.entropy_bits_per_byte is not None and evaluation is not None and evaluation.bits_per_byte is not None:
        floor, here = fixed(config.data.entropy_bits_per_byte, 3), fixed(evaluation.bits_per_byte, 3)
        parts.append(f"The source of this text has an entropy of {floor} bits per byte, its floor; the model is at {here}.")
    if status.final is not None:
        parts.insert(0, _at_the_end(config, status, status.final))
    elif (share := during_training(config.data, status)) and not share.is_whole and evaluation is not None:
        parts.append(f"These evaluations are on {share.in_words} of validation text.")
    return " ".join(parts)


def _at_the_end(config: RunConfig, status: Status, last: FinalEvaluation) -> str:
    """What the last and the best weights came to on the whole validation part."""
    words = f"On {at_the_end(config.data, last).in_words} of validation text the last weights lose {_loss_of(last)}"
    best = status.final_best
    if best is None or best.step == last.step:
        return f"{words}."
    return f"{words}, the best, of step {whole(best.step)}, {_loss_of(best)}."


def _loss_of(found: FinalEvaluation) -> str:
    if found.val_loss is None or found.bits_per_byte is None:
        return "what is no number"
    return f"{fixed(found.val_loss)} ({fixed(found.bits_per_byte)} bits/byte)"


def _on_validation_text(step: int, val_loss: float, history: "History", copied: bool, dropout: bool) -> str:
    """The validation loss, beside the training loss of the same step."""
    where = "On the validation text" if copied else "On text it never trains on"
    before = bisect_right(history.steps, step)
    if not before:
        return f"{where} it lost {fixed(val_loss, 2)} at step {whole(step)}."
    loss = history.smooth[before - 1]
    then = fixed(loss, 2)
    has_moved = then != fixed(history.smooth[-1], 2)
    if abs(val_loss - loss) <= SAME * loss:
        beside = f", against {then} at step {whole(step)}" if has_moved else ""
        holds = "" if copied else ": what it learns holds there too"
        return f"{where} it loses about the same ({fixed(val_loss, 2)}{beside}){holds}."
    apart = fixed(abs(round(val_loss, 2) - round(loss, 2)), 2)
    beside = f" than the {then} at step {whole(step)}" if has_moved else ""
    without = " (there without dropout)" if dropout and val_loss < loss else ""
    return f"{where} it loses {fixed(val_loss, 2)}, {apart} {'more' if val_loss > loss else 'less'}{beside}{without}."


def time_left(config: RunConfig, status: Status, history: "History") -> float | None:
    """Seconds of training left, from the speed of late; None where it cannot be told."""
    if config.train.minutes is not None:
        return max(0.0, config.train.minutes * 60 - status.seconds)
    last = history.last_training
    steps = status.steps or config.train.steps
    if last is None or steps is None or not history.speed:
        return None
    tokens_per_step = config.train.batch * config.model.context
    return max(0, steps - last.step) * tokens_per_step / history.speed


def progress(config: RunConfig, status: Status) -> float:
    """How much of the run is done, 0 to 1."""
    if status.phase == "finished":
        return 1.0
    if config.train.minutes is not None:
        return min(1.0, status.seconds / (config.train.minutes * 60))
    steps = status.steps or config.train.steps
    return min(1.0, status.step / steps) if steps else 0.0


def plan_in_words(config: RunConfig) -> str:
    """`2,000 steps` or `5 min 00 s`: when the run ends."""
    if config.train.minutes is not None:
        return duration(config.train.minutes * 60)
    return f"{whole(config.train.steps or 0)} steps"
