"""Learning or plateau: the recent trend of the losses, and advice on a lower loss."""

from lab.core.number_format import fixed, significant, whole
from lab.reports.diagnosis.diagnosed_run import DiagnosedRun
from lab.reports.diagnosis.early_checks import MORE_STEPS
from lab.reports.diagnosis.loss_wording import rollbacks_in_words, short_lr, step_in_words
from lab.reports.diagnosis.thresholds import (
    DECAYED,
    FAR,
    FEW_STEPS,
    FEWEST_EVALUATIONS,
    FEWEST_STEPS,
    HIGH_DROPOUT,
    NEAR,
    NEAR_SOURCE,
    RISE,
    STANDS_STILL,
    STEPS_WITHOUT_EVALUATIONS,
    TREND_SHARE,
)
from lab.reports.diagnosis.verdicts import Diagnosis, Verdict
from lab.runs.run_folder import ACTIVE

STILL_FALLING = "It ended while its loss was still falling: a run with more steps may well go lower."


def plateau(run: DiagnosedRun) -> Diagnosis | None:
    """Plateau: neither loss has fallen recently."""
    steps, found = run.steps[-1] - run.steps[run.trend_start], run.trend_evaluations
    evaluated = len(found) > FEWEST_EVALUATIONS
    if steps < (FEWEST_STEPS if evaluated else STEPS_WITHOUT_EVALUATIONS) or run.relative_fall() > STANDS_STILL:
        return None
    if evaluated:
        before, now = run.lowest_ends()
        if before.loss - now.loss > STANDS_STILL * now.loss:
            return None
    evidence = f"{run.trend_in_words(lowest=evaluated).rstrip('.')}{_level(run)}."
    return Diagnosis("plateau", evidence, _far_settings(run) or _near_source(run) or _plateau_advice(run))


def _level(run: DiagnosedRun) -> str:
    """The baseline or entropy that a loss at a plateau is near to or above, as the end of a sentence."""
    if _near_source(run):
        return ""
    text, now = run.entropy, run.loss
    if now >= run.uniform_baseline * (1 - NEAR):
        words = f"about the uniform baseline ({fixed(run.uniform_baseline, 2)})"
    elif text is None:
        return ""
    elif now > text.unigram * (1 + NEAR):
        words = f"above the unigram entropy of the training text ({fixed(text.unigram, 2)})"
    elif now > text.bigram * (1 + NEAR):
        words = f"above the bigram entropy of the training text ({fixed(text.bigram, 2)})"
    elif now > text.bigram * (1 - NEAR):
        return f"; the loss is about the bigram entropy of the training text ({fixed(text.bigram, 2)})"
    else:
        return ""
    return f"; the loss is {words}, so it is not the limit of the text"


def _near_source(run: DiagnosedRun) -> str:
    """A sentence if the validation loss is near the known entropy of the source."""
    last, source = run.history.last_evaluation, run.config.data.entropy_bits_per_byte
    if last is None or last.bits_per_byte is None or source is None or last.bits_per_byte > source * (1 + NEAR_SOURCE):
        return ""
    here = fixed(last.bits_per_byte, 3)
    return f"At {here} bits per byte it is near the entropy of the source ({fixed(source, 3)}), the least possible on average."


def _far_settings(run: DiagnosedRun) -> str:
    """Advice about a learning rate far from the default, or a high dropout; empty if there is neither."""
    default = f"the default of {short_lr(run.default_lr)}"
    if run.peak_lr > FAR * run.default_lr:
        return f"A learning rate of {run.lr_in_words()} is far above {default}; a new run with that may go lower."
    if run.peak_lr < run.default_lr / FAR:
        return f"A learning rate of {run.lr_in_words()} is far below {default}; a new run with that may go lower."
    if (dropout := run.config.model.dropout) >= HIGH_DROPOUT:
        return f"A dropout of {dropout:g} is high, and the training loss is measured with it; a new run with less may go lower."
    return ""


def _plateau_advice(run: DiagnosedRun) -> str:
    """Advice at a plateau of a run whose settings are near the defaults."""
    last, text = run.history.last_training, run.entropy
    if text is not None and abs(run.loss - text.bigram) <= NEAR * text.bigram:
        return "If the next token depends on more than one before it, more steps, a larger model or a longer context may help."
    if last is not None and last.lr is not None and last.lr < DECAYED * run.peak_lr:
        return (
            f"The learning rate has fallen to {significant(last.lr, 2)}, so that steps change little now; more steps, a larger "
            "model or a longer context may help."
        )
    return "More steps change little; a larger model or a longer context may help."


def little_learned(run: DiagnosedRun) -> Diagnosis | None:
    """A loss about or above that of guessing or of token frequencies alone, where no plateau was found: nothing or little learned
    where the settings explain it, else too few steps, as for any trend of less than `FEW_STEPS`. A run that goes on may learn.
    """
    level, measured, falls = run.level, run.measured, run.relative_fall() > STANDS_STILL
    ended = run.phase == "finished"
    if (level is None or (run.phase in ACTIVE and falls)) and not (ended and run.last_step * TREND_SHARE < FEW_STEPS):
        return None
    if level and measured and measured.step < run.last_step and run.loss < level.loss * (1 - NEAR):
        return None  # the evaluation is of weights that were worse
    after = f"after {whole(run.last_step)} steps" + (f" and {rollbacks_in_words(len(run.rollbacks))}" if run.rollbacks else "")
    loss, kind = (measured.loss, "validation") if measured else (run.loss, "training")
    then = f" at step {step_in_words(measured.step)}" if measured and measured.step < run.last_step else ""
    evidence = f"{after} the {kind} loss is {fixed(loss, 2)} nats per token{then}"
    if level:
        evidence += f", {'above' if loss > level.loss * (1 + NEAR) else 'about'} {level.name} ({fixed(level.loss, 2)})"
    far = _far_settings(run)
    verdict: Verdict = "too short to say" if ended else "too early to tell"
    if level and run.phase not in ACTIVE and (level.short == "uniform" or far or run.rollbacks):
        verdict = "nothing learned" if level.short == "uniform" else "little learned"
    more = "" if run.phase in ACTIVE else STILL_FALLING if falls and ended else MORE_STEPS
    return Diagnosis(verdict, f"{evidence}.", far or more)


def learning(run: DiagnosedRun) -> Diagnosis:
    """Learning, or learned where the run has finished: the verdict where no check has a finding."""
    found = run.trend_evaluations
    follows = len(found) < 2 or found[-1].loss < found[0].loss * (1 - RISE)
    early = any(event.kind == "early_stop" for event in run.events)
    is_over = run.phase == "finished"
    still = is_over and run.relative_fall() > STANDS_STILL and follows and not early
    advice = STILL_FALLING if still else ""
    verdict: Verdict = "learned" if is_over else "learning"
    return Diagnosis(verdict, run.trend_in_words(), _far_settings(run) or _near_source(run) or advice)
