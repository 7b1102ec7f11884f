"""A few sentences on how far a run's model has come, from its losses."""

from bisect import bisect_right
from typing import TYPE_CHECKING

from lab.core.number_format import fixed, perplexity, whole
from lab.core.uniform_baseline import uniform_baseline
from lab.runs.evaluation_coverage import at_the_end, during_training
from lab.runs.run_schema import FinalEvaluation, RunConfig, Status

if TYPE_CHECKING:
    from lab.runs.loss_history import LossHistory

SAME = 0.03
"""Training and validation loss this near each other, as a fraction, are called about the same."""


def run_sentence(config: RunConfig, status: Status, history: "LossHistory", *, copied: bool = False) -> str:
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
        parts.append(f"It loses {fixed(loss, 2)} now, as if it were choosing among {perplexity(loss)}.")
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
    """Losses of the last and the best weights on the whole validation part."""
    words = f"On {at_the_end(config.data, last).in_words} of validation text the last weights lose {_loss_of(last)}"
    best = status.final_best
    if best is None or best.step == last.step:
        return f"{words}."
    return f"{words}, the best, of step {whole(best.step)}, {_loss_of(best)}."


def _loss_of(found: FinalEvaluation) -> str:
    if found.val_loss is None or found.bits_per_byte is None:
        return "what is no number"
    return f"{fixed(found.val_loss)} ({fixed(found.bits_per_byte)} bits/byte)"


def _on_validation_text(step: int, val_loss: float, history: "LossHistory", copied: bool, dropout: bool) -> str:
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
