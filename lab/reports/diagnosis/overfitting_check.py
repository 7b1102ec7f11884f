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
    smaller = f"at {fixed(tokens / vocabulary, 1)} training tokens per entry, a smaller vocabulary"
    remedies = [smaller] if run.config.tokenizer.kind != "bytes" and tokens < TOKENS_PER_ENTRY * vocabulary else []
    if tokens < FEWEST_TOKENS_PER_PARAMETER * parameters:
        epoch = run.history.last_evaluation.epoch if run.history.last_evaluation else 0.0
        evidence = (
            f"{whole(tokens)} training tokens for {count(parameters)} parameters, seen {times_in_words(epoch)}; at step "
            f"{step_in_words(last.step)} the training loss is {fixed(beside, 2)} and the validation loss {fixed(last.loss, 2)}."
        )
        longer = f"a longer text ({count(FEWEST_TOKENS_PER_PARAMETER * parameters * 10)} tokens or more)"
        advice = f"{_either([longer, 'a smaller model', *remedies])} may help."
        return Diagnosis("text too small", evidence, f"{kept}; {advice}" if overfits else advice[0].upper() + advice[1:])
    if not overfits:
        return None
    evidence = (
        f"from step {step_in_words(best.step)} to {step_in_words(last.step)} the training loss fell {from_to(then, beside)} "
        f"while the validation loss rose {from_to(best.loss, last.loss)}, over {since} evaluations."
    )
    if run.phase in ("training", "paused"):
        kept += ", so that the run can be stopped, as --patience 3 does"
    advice = f"{kept}; {_either(['a longer text', 'a smaller model', 'more dropout', *remedies])} may help."
    return Diagnosis("overfitting", evidence, advice)


def _either(choices: list[str]) -> str:
    return f"{', '.join(choices[:-1])} or {choices[-1]}"
