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
    uniform = fixed(uniform_baseline(vocabulary), 2)
    baseline = f"Uniform baseline: {uniform} nats per token ({whole(vocabulary)} tokens)."
    if status.phase == "failed":
        return status.message or "The trainer failed without saying why; its trainer.log in the run's folder may say more."
    if history.last_training is None and history.last_evaluation is None:
        return f"{baseline} No step taken yet."
    parts = [baseline]
    loss = history.smooth[-1] if history.smooth else None
    evaluation = history.last_evaluation
    if loss is not None:
        parts.append(f"Training loss {fixed(loss, 2)}, perplexity {perplexity(loss)}.")
    if evaluation is not None and evaluation.val_loss is not None:
        parts.append(_validation_loss(evaluation.step, evaluation.val_loss, history, copied, config.model.dropout > 0))
    if config.data.entropy_bits_per_byte is not None and evaluation is not None and evaluation.bits_per_byte is not None:
        floor, here = fixed(config.data.entropy_bits_per_byte, 3), fixed(evaluation.bits_per_byte, 3)
        parts.append(f"The entropy of the source is {floor} bits per byte; the model is at {here}.")
    if status.final is not None:
        parts.insert(0, _at_the_end(config, status, status.final))
    elif (share := during_training(config.data, status)) and not share.is_whole and evaluation is not None:
        parts.append(f"Evaluated on {share.in_words} of validation text.")
    return " ".join(parts)


def _at_the_end(config: RunConfig, status: Status, last: FinalEvaluation) -> str:
    """Losses of the last and the best weights on the whole validation part."""
    words = f"On {at_the_end(config.data, last).in_words} of validation text: last weights {_loss_of(last)}"
    best = status.final_best
    if best is None or best.step == last.step:
        return f"{words}."
    return f"{words}, best weights (step {whole(best.step)}) {_loss_of(best)}."


def _loss_of(found: FinalEvaluation) -> str:
    if found.val_loss is None or found.bits_per_byte is None:
        return "NaN"
    return f"{fixed(found.val_loss)} ({fixed(found.bits_per_byte)} bits/byte)"


def _validation_loss(step: int, val_loss: float, history: "LossHistory", copied: bool, dropout: bool) -> str:
    """The validation loss, beside the training loss of the same step."""
    before = bisect_right(history.steps, step)
    if not before:
        return f"Validation loss {fixed(val_loss, 2)} at step {whole(step)}."
    loss = history.smooth[before - 1]
    then = fixed(loss, 2)
    has_moved = then != fixed(history.smooth[-1], 2)
    if abs(val_loss - loss) <= SAME * loss:
        beside = f", against {then} at step {whole(step)}" if has_moved else ""
        generalizes = "" if copied else ": the model generalizes"
        return f"Validation loss about the same ({fixed(val_loss, 2)}{beside}){generalizes}."
    apart = fixed(abs(round(val_loss, 2) - round(loss, 2)), 2)
    beside = f" than the {then} at step {whole(step)}" if has_moved else ""
    without = " (measured without dropout)" if dropout and val_loss < loss else ""
    return f"Validation loss {fixed(val_loss, 2)}, {apart} {'higher' if val_loss > loss else 'lower'}{beside}{without}."
