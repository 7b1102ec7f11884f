"""The validation text: copied from the training text, or unlike it."""

from lab.core.number_format import fixed, probability
from lab.reports.diagnosis.diagnosed_run import DiagnosedRun
from lab.reports.diagnosis.loss_wording import Evaluation, step_in_words
from lab.reports.diagnosis.thresholds import COPIED, DIVERGENCE, DIVERGENCE_TOKENS, FEWEST_STEPS, FIRST_EPOCH_GAP, GAP
from lab.reports.diagnosis.verdicts import Diagnosis
from lab.reports.validation_text import PASSAGE_BYTES


def copied(run: DiagnosedRun) -> Diagnosis | None:
    """A validation part that mostly occurs in the training part."""
    text = run.entropy.validation if run.entropy else None
    if text is None or text.copied is None or text.copied < COPIED:
        return None
    evidence = (
        f"{probability(text.copied, 0)} of the validation text (in passages of about {PASSAGE_BYTES} bytes) occurs verbatim in "
        f"the training text, so its loss does not measure new text; {run.trend_in_words()}"
    )
    return Diagnosis("validation text copied", evidence, "Remove the repetitions from the text, and start a new run.")


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
    advice = "The validation part is the end of the text: mix the parts of the text, and start a new run."
    return Diagnosis("validation text differs", evidence, advice)


def _first_epoch(run: DiagnosedRun) -> tuple[Evaluation, float] | None:
    """The last evaluation of the first epoch, and the smoothed training loss of its step."""
    data, train, context = run.config.data, run.config.train, run.config.model.context
    windows = max(1, (data.split - 1) // context - 1)
    end = windows / train.batch
    found = [evaluation for evaluation in run.evaluations if FEWEST_STEPS <= evaluation.step <= end]
    beside = run.smoothed_at(found[-1].step) if found else None
    return None if beside is None else (found[-1], beside)
