"""Overfitting, and a text too small for its model."""

from lab.core.number_format import count, fixed, whole
from lab.planning.memorization import FEWEST_TOKENS_PER_PARAMETER
from lab.reports.diagnosis.diagnosed_run import DiagnosedRun
from lab.reports.diagnosis.loss_wording import from_to, step_in_words, times_in_words
from lab.reports.diagnosis.thresholds import GAP, RISE, RISING_EVALUATIONS, STANDS_STILL, TOKENS_PER_ENTRY
from lab.reports.diagnosis.verdicts import Diagnosis
from models.parameter_count import parameter_count


def overfitting(run: DiagnosedRun) -> Diagnosis | None:
    """Overfitting; for a text far too small for the model, the verdict is about the text."""
    if not run.evaluations:
        return None
    best, last = min(run.evaluations, key=lambda evaluation: evaluation.loss), run.evaluations[-1]
    since = sum(evaluation.step > best.step for evaluation in run.evaluations)
    then, beside = run.smoothed_at(best.step), run.smoothed_at(last.step)
    if then is None or beside is None or last.loss <= beside * (1 + GAP):
        return None
    overfits = since >= RISING_EVALUATIONS and last.loss > best.loss * (1 + RISE) and beside < then * (1 - STANDS_STILL)
    kept = f"The weights of step {step_in_words(best.step)} are kept as the best"
    tokens, parameters, vocabulary = run.config.data.split, parameter_count(run.config.model), run.config.model.vocab_size
    if run.config.tokenizer.kind != "bytes" and tokens < TOKENS_PER_ENTRY * vocabulary:
        each = fixed(tokens / vocabulary, 1)
        smaller = f"Its {whole(vocabulary)} vocabulary entries have {each} training tokens each; a smaller vocabulary may help."
    else:
        smaller = ""
    if tokens < FEWEST_TOKENS_PER_PARAMETER * parameters:
        epoch = run.history.last_evaluation.epoch if run.history.last_evaluation else 0.0
        evidence = (
            f"{whole(tokens)} training tokens for {count(parameters)} parameters, seen {times_in_words(epoch)}; at step "
            f"{step_in_words(last.step)} the training loss is {fixed(beside, 2)} and the validation loss {fixed(last.loss, 2)}."
        )
        enough = count(FEWEST_TOKENS_PER_PARAMETER * parameters * 10)
        advice = f"A longer text ({enough} tokens or more) or a smaller model would help."
        if overfits:
            advice = f"{kept}; the validation loss has not been lower since. {advice}"
        return Diagnosis("text too small", evidence, f"{advice} {smaller}".rstrip())
    if not overfits:
        return None
    evidence = (
        f"from step {step_in_words(best.step)} to {step_in_words(last.step)} the training loss fell {from_to(then, beside)} "
        f"while the validation loss rose {from_to(best.loss, last.loss)}, over {since} evaluations."
    )
    if run.phase in ("training", "paused"):
        kept += ", so that the run can be stopped, as --patience 3 does"
    advice = f"{kept}. A longer text, a smaller model or more dropout may help. {smaller}".rstrip()
    return Diagnosis("overfitting", evidence, advice)
