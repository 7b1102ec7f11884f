"""The losses of a run in two sentences."""

from bisect import bisect_right
from typing import TYPE_CHECKING

from lab.analysis.baselines import NATS, LossUnit
from lab.core.number_format import fixed, probability, whole
from lab.core.safetensors_file import is_whole, read_metadata, step_of
from lab.planning.text_difficulty import AS_PLANNED
from lab.runs.run_folder import Run
from lab.runs.run_in_words import at_the_end, during_training
from lab.runs.run_schema import FinalEvaluation, RunConfig, Status
from models.config import uniform_baseline

if TYPE_CHECKING:
    from lab.runs.run_history import LossHistory

SAME = 0.03
"""Training and validation loss this near each other, as a fraction, are called about the same."""


def run_sentence(
    config: RunConfig, status: Status, history: "LossHistory", *, generalizes: bool = True, unit: LossUnit = NATS
) -> str:
    """Training loss beside the uniform baseline, and validation loss; `generalizes` if that text and what was learned allow
    it."""
    beside = unit.train if history.smooth else unit
    baseline = f"uniform baseline {beside(uniform_baseline(config.tokenizer.vocab_size))} {unit.name}"
    if status.phase == "failed":
        return status.message or "The trainer failed without a message; see trainer.log in the run's folder."
    if config.imported is not None:
        return f"U{baseline[1:]}."
    if history.last_training is None and history.last_evaluation is None:
        return f"No step taken yet; {baseline}." if config.tuning is None else f"U{baseline[1:]}."
    evaluation = history.last_evaluation
    parts = [f"Training loss {unit.train(history.smooth[-1])} (mean); {baseline}." if history.smooth else f"U{baseline[1:]}."]
    bits, entropy = evaluation.bits_per_byte if evaluation else None, config.data.entropy_bits_per_byte
    source = f"entropy of the source {fixed(entropy)} bits/byte" if entropy is not None else ""
    if status.final is not None:
        last, best = status.final, status.final_best
        words = f"On {at_the_end(config.data, last).in_words} of validation text: last weights {_loss_of(last, unit)}"
        if best is not None and best.step != last.step:
            words += f", best weights (step {whole(best.step)}) {_loss_of(best, unit)}"
        expected = against_expectation(config, status)
        parts.insert(0, f"{words}{f'; {source}' if source else ''}{f'; {expected}' if expected else ''}.")
    elif evaluation is not None and evaluation.val_loss is not None:
        share = during_training(config.data, status)
        part = f", on {share.in_words} of validation text" if share and not share.is_whole else ""
        words = _validation_loss(evaluation.step, evaluation.val_loss, history, generalizes, config.model.dropout > 0, unit)
        both = f"{fixed(bits)} bits/byte, " if unit == NATS and bits is not None else ""
        parts.append(f"{words}{part}{f'; {both}{source}' if source and bits is not None else ''}.")
    return " ".join(parts)


def against_expectation(config: RunConfig, status: Status) -> str:
    """The expectation of the run against the result: `expected 2.06 bits per byte (1.98 to 2.15), got 2.09: 1.5% more`. Empty
    where nothing was expected, or it has not ended."""
    got = status.final_best and status.final_best.bits_per_byte
    if config.expected is None or not got:
        return ""
    expected = config.expected
    off = got / expected.bits_per_byte - 1
    slow = status.step < AS_PLANNED * expected.steps
    why = f", with {whole(status.step)} of {whole(expected.steps)} planned steps" if slow else ""
    by = "" if expected.is_wide else f": {probability(abs(off))} {'more' if off > 0 else 'less'}"
    return f"expected {expected.in_words}, got {fixed(got, 2)}{by}{why}"


def _loss_of(found: FinalEvaluation, unit: LossUnit) -> str:
    if found.val_loss is None or found.bits_per_byte is None:
        return "NaN"
    return unit(found.val_loss, 3) + f" ({fixed(found.bits_per_byte)} bits/byte)" * (unit == NATS)


def _validation_loss(step: int, val_loss: float, history: "LossHistory", generalizes: bool, dropout: bool, unit: LossUnit) -> str:
    before = bisect_right(history.steps, step)
    val_loss *= unit.factor
    if not before:
        return f"Validation loss {fixed(val_loss, 2)} at step {whole(step)}"
    loss = history.smooth[before - 1] * unit.train_factor
    then = fixed(loss, 2)
    has_moved = then != unit.train(history.smooth[-1])
    without = ", measured without dropout" if dropout else ""
    if abs(val_loss - loss) <= SAME * loss:
        beside = f", against a training loss of {then} at step {whole(step)}" if has_moved else ""
        # With dropout the training loss is higher than the same weights lose without it, so it says less.
        words = ": the model generalizes" if generalizes and not dropout else ""
        return f"Validation loss about the same ({fixed(val_loss, 2)}{without}{beside}){words}"
    apart = fixed(abs(round(val_loss, 2) - round(loss, 2)), 2)
    beside = f" than the training loss of {then} at step {whole(step)}" if has_moved else ""
    return f"Validation loss {fixed(val_loss, 2)}{without}, {apart} {'higher' if val_loss > loss else 'lower'}{beside}"


def saved_step(run: Run) -> int | None:
    """The step that training would resume from; None where no checkpoint is whole."""
    for name in ("last", "previous"):
        path = run.path / f"{name}.safetensors"
        step = step_of(read_metadata(path))
        if step is not None and is_whole(path):
            return step
    return None


def stopped_sentence(run: Run, resume: str) -> tuple[str, bool]:
    """A sentence on a stopped run, and True if its step is saved. `resume` is the command that resumes it."""
    status, saved = run.status(), saved_step(run)
    message = f" {status.message}" if status.message else ""
    if saved == status.step:
        return f"{run.name} is stopped at step {saved} and saved.{message} `{resume}` resumes it.", True
    if saved is None:
        return f"{run.name} is stopped at step {status.step}, and no checkpoint of it is whole.{message}", False
    return (
        f"{run.name} is stopped at step {status.step}, which is not saved: its last whole checkpoint is of step {saved}."
        f"{message} `{resume}` resumes from there."
    ), False
