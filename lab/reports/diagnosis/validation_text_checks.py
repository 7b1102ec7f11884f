"""The validation text: copied from the training text, or unlike it."""

from lab.core.number_format import fixed
from lab.data.statistics.copied_share import copied_in_words
from lab.reports.diagnosis.diagnosed_run import DiagnosedRun
from lab.reports.diagnosis.loss_wording import Evaluation, step_in_words
from lab.reports.diagnosis.thresholds import COPIED, DIVERGENCE, DIVERGENCE_TOKENS, FEWEST_STEPS, FIRST_EPOCH_GAP, GAP
from lab.reports.diagnosis.verdicts import Diagnosis


def copied(run: DiagnosedRun) -> Diagnosis | None:
    """A validation part that mostly occurs in the training part."""
    found, held = run.copied, run.config.data.holdout
    if found is None or found.share < COPIED or run.config.data.entropy_bits_per_byte is not None:
        return None
    evidence = f"{copied_in_words(found)}, so its loss does not measure new text; {run.trend_in_words()}"
    advice = "Give another text for validation" if held.source else "Remove the repetitions from the text"
    return Diagnosis("validation text copied", evidence, f"{advice}, and start a new run.")


def differs(run: DiagnosedRun) -> Diagnosis | None:
    """A validation part unlike the training part, such as the end of a text that was joined from several."""
    if not run.evaluations:
        return None
    last = run.evaluations[-1]
    beside = run.smoothed_at(last.step)
    if beside is None or abs(last.loss - beside) <= GAP * beside:
        return None
    text = run.entropy.validation if run.entropy else None
    if text and text.tokens >= DIVERGENCE_TOKENS and text.divergence > DIVERGENCE:
        evidence = (
            f"the token frequencies of the training part predict the validation part at {fixed(text.unigram_loss, 2)} nats per "
            f"token, its own frequencies at {fixed(text.unigram, 2)}; at step {step_in_words(last.step)} the validation loss "
            f"is {fixed(last.loss, 2)} and the training loss {fixed(beside, 2)}."
        )
    elif (first := _first_epoch(run)) and first[0].loss > first[1] * (1 + FIRST_EPOCH_GAP):
        evidence = (
            f"at step {step_in_words(first[0].step)}, in the first epoch, when all text is new, the validation loss is "
            f"{fixed(first[0].loss, 2)} nats per token and the training loss {fixed(first[1], 2)}."
        )
    else:
        return None
    held = run.config.data.holdout
    advice = f"The validation part is {held.in_words}: choose another"
    if not held.source and held.seed is None:
        advice = "The validation part is the end of the text: mix the parts, or hold out blocks from all over it (--split-seed)"
    advice += ", and start a new run."
    return Diagnosis("validation text differs", evidence, advice)


def _first_epoch(run: DiagnosedRun) -> tuple[Evaluation, float] | None:
    """The last evaluation of the first epoch, and the smoothed training loss of its step."""
    data, train, context = run.config.data, run.config.train, run.config.model.context
    windows = max(1, (data.split - 1) // context - 1)
    end = windows / train.batch
    found = [evaluation for evaluation in run.evaluations if FEWEST_STEPS <= evaluation.step <= end]
    beside = run.smoothed_at(found[-1].step) if found else None
    return None if beside is None else (found[-1], beside)
