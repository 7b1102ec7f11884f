"""The diagnosis of a run: each check looks for one finding, and the first finding decides the verdict.

Everything follows from the run's settings, its metrics, its rollbacks and its text. Single losses are noise, so that the smoothed
training loss and the evaluations are compared over parts of the run, and of two numbers both steps are named. Steps whose
update was not applied, and all before the last rollback, are left out: the present weights do not come from them.
"""

from collections.abc import Callable

from lab.analysis.diagnosed_run import (
    FEW_STEPS,
    NEAR,
    RISE,
    TREND_SHARE,
    DiagnosedRun,
    Diagnosis,
    Evaluation,
    Verdict,
    from_to,
    rollbacks_text,
    short_lr,
    step_text,
)
from lab.core.number_format import count, fixed, listed, significant, whole
from lab.data.statistics.copied_share import describe_copied
from lab.planning.default_hyperparameters import FEWEST_TOKENS_PER_PARAMETER
from lab.runs.run_folder import ACTIVE
from models.parameter_count import parameter_count

RISING_EVALUATIONS = 3
"""Evaluations in a row above the lowest validation loss that count as a rise: one or two are noise."""
ABOVE_UNIFORM = 0.05
"""Excess of a diverged smoothed loss over the uniform baseline, as a fraction."""
FEWEST_STEPS = 20
FEWEST_EVALUATIONS = 3
STEPS_WITHOUT_EVALUATIONS = 50
"""Fewest steps of a plateau with fewer evaluations than that."""
STANDS_STILL = 0.01
"""Least fall of a loss over the trend, as a fraction; less is a plateau."""
TOKENS_PER_ENTRY = 20
"""Fewest training tokens per vocabulary entry: with less, most entries occur only a few times."""
GAP = 0.1
"""Excess of the validation loss over the training loss of the same step that shows memorization, as a fraction."""
NEAR_SOURCE = 0.05
"""Excess of a loss over the entropy of the source that counts as about it, as a fraction."""
FAR = 5.0
"""Factor between a peak learning rate and the default from which on it counts as far."""
HIGH_DROPOUT = 0.5
DECAYED = 0.3
"""Fraction of the peak below which the learning rate itself slows training."""
FIRST_EPOCH_GAP = 0.2
"""Excess of the validation loss in the first epoch, where all text is new, that is not overfitting but another kind of text."""
DIVERGENCE, DIVERGENCE_TOKENS = 0.15, 4000
"""Nats per token by which the token frequencies of the two parts differ, in a validation part of at least so many tokens."""
UNLIKE = 2.0
"""Least multiple of the control (`ValidationText.within`) that shows another kind of text. With 256 to 2,048 tokens the tenths of
a play, a manual or of source code are at 0.6 to 1.9 of it, other languages and kinds of text at 1.9 to 50."""
COPIED = 0.5
"""Fraction of the validation text found verbatim in the training text from which on its loss does not measure new text. Where the
entropy of the source is known the text was generated: passages recur because the source repeats itself, and the loss is held to
that entropy."""


def copied(run: DiagnosedRun) -> Diagnosis | None:
    """A validation part that mostly occurs in the training part."""
    found, held = run.copied, run.config.data.holdout
    if found is None or found.share < COPIED or run.config.data.entropy_bits_per_byte is not None:
        return None
    evidence = f"{describe_copied(found)}, so its loss does not measure new text; {run.describe_trend()}"
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
    first = _first_epoch(run)
    if first and abs(first[0].loss - first[1]) <= GAP * first[1]:
        return None  # they were alike while all text was new: what came since is memorization
    text = run.entropy.validation if run.entropy else None
    if text and text.tokens >= DIVERGENCE_TOKENS and text.divergence > max(DIVERGENCE, UNLIKE * text.within):
        evidence = (
            f"the token frequencies of the training part predict the validation part at {run.unit(text.unigram_loss)} "
            f"{run.unit.name}, its own frequencies at {run.unit(text.unigram)}, farther apart than parts of the training text "
            f"are from each other; at step {step_text(last.step)} the {run.val_loss_name} is {run.unit(last.loss)} and the "
            f"training loss {run.unit.train(beside)}."
        )
    elif first and first[0].loss > first[1] * (1 + FIRST_EPOCH_GAP):
        evidence = (
            f"at step {step_text(first[0].step)}, in the first epoch, when all text is new, the {run.val_loss_name} is "
            f"{run.unit(first[0].loss)} {run.unit.name} and the training loss {run.unit.train(first[1])}."
        )
    else:
        return None
    held = run.config.data.holdout
    advice = f"The validation part is {held.in_words}: choose another"
    if not held.source and held.seed is None:
        advice = "The validation part is the end of the text: mix the parts, or hold out blocks from all over it"
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


MORE_STEPS = "A run with more steps would tell more."


def warming_up(run: DiagnosedRun) -> Diagnosis | None:
    last, train = run.history.last_training, run.config.train
    if last is None or last.lr is None:
        return None
    if train.steps is not None:
        end = train.warmup * train.steps
        over, until = last.step >= end, f"until step {whole(round(end))}"
    else:
        end = train.warmup * (train.minutes or 0.0) * 60
        over, until = last.seconds >= end, f"over the first {end:.0f} seconds"
    if over:
        return None
    verdict: Verdict = "warming up"
    now, evidence = (
        significant(last.lr, 2),
        f"at step {whole(last.step)} the learning rate is {significant(last.lr, 2)} and rises",
    )
    if run.phase not in ACTIVE:
        verdict = "too early to tell"
        evidence = f"the run ended at step {whole(last.step)} with a learning rate of {now}, which was to rise"
    halved = f" ({train.lr:g} was set; {rollbacks_text(len(run.rollbacks))})" if run.rollbacks else ""
    return Diagnosis(verdict, f"{evidence} to {short_lr(run.peak_lr)} {until}{halved}.", "The loss says little before then.")


def rolled_back(run: DiagnosedRun) -> Diagnosis | None:
    if not run.rollbacks or run.last_step - run.start >= FEWEST_STEPS:
        return None
    number = len(run.rollbacks)
    ordinal = {1: "first", 2: "second", 3: "third"}.get(number, f"{number}th")
    evidence = (
        f"at step {whole(run.start)} the trainer rolled back to earlier weights and halved the learning rate, for the "
        f"{ordinal} time: {run.config.train.lr:g} was set, and its peak is now "
        f"{significant(run.peak_lr, 2)}."
    )
    return Diagnosis("rolled back", evidence, f"The loss says little in the first {FEWEST_STEPS} steps after that.")


def too_early(run: DiagnosedRun) -> Diagnosis | None:
    if len(run.steps) and run.steps[-1] - run.start >= FEWEST_STEPS:
        return None
    taken = run.last_step - run.start
    loss = f" with a training loss of {run.unit.train(run.loss)} {run.unit.name}" if len(run.steps) else ""
    steps = f"{whole(taken)} step{'s' if taken > 1 else ''}"
    if run.phase == "finished":
        return Diagnosis("too short to say", f"{steps}{loss}.", MORE_STEPS)
    return Diagnosis("too early to tell", f"{steps} so far{loss}.")


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
    kept = f"The weights of step {step_text(best.step)} are kept as the best"
    tokens, parameters, vocabulary = run.config.data.split, parameter_count(run.config.model), run.config.model.vocab_size
    smaller = f"at {fixed(tokens / vocabulary, 1)} training tokens per entry, a smaller vocabulary"
    remedies = [smaller] if run.config.tokenizer.kind != "bytes" and tokens < TOKENS_PER_ENTRY * vocabulary else []
    if tokens < FEWEST_TOKENS_PER_PARAMETER * parameters:
        evidence = (
            f"{whole(tokens)} training tokens for {count(parameters)} parameters, seen {run.times_read} times; at step "
            f"{step_text(last.step)} the training loss is {run.unit.train(beside)} and the {run.val_loss_name} "
            f"{run.unit(last.loss)}."
        )
        longer = f"a longer text ({count(FEWEST_TOKENS_PER_PARAMETER * parameters * 10)} tokens or more)"
        if run.config.expected is not None:  # whose size was chosen for the lowest loss on so little text
            advice = f"{longer} may help."
        else:
            advice = f"{listed([longer, 'a smaller model', *remedies], 'or')} may help."
        return Diagnosis("text too small", evidence, f"{kept}; {advice}" if overfits else advice[0].upper() + advice[1:])
    if not overfits:
        return None
    evidence = (
        f"from step {step_text(best.step)} to {step_text(last.step)} the training loss fell "
        f"{from_to(run.unit.train, then, beside)} "
        f"while the {run.val_loss_name} rose {from_to(run.unit, best.loss, last.loss)}, over {since} evaluations."
    )
    if run.phase in ("training", "paused"):
        kept += ", so that the run can be stopped, as a patience of 3 does"
    advice = f"{kept}; {listed(['a longer text', 'a smaller model', 'more dropout', *remedies], 'or')} may help."
    return Diagnosis("overfitting", evidence, advice)


def gave_up(run: DiagnosedRun) -> Diagnosis | None:
    """Diverged: the run ended with a loss that is NaN or infinite, or its trainer gave up."""
    latest = run.history.latest
    assert latest is not None
    at = whole(latest.step)
    if run.phase == "failed" and run.bad_steps and run.bad_steps[-1] == latest.step:
        loss = "is NaN or infinite" if latest.loss is None else f"is {run.unit.train(latest.loss)}"
        evidence = f"the loss of step {at} {loss}, and the trainer gave up after {rollbacks_text(len(run.rollbacks))}."
        return Diagnosis("diverged", evidence, run.lower_lr_advice())
    recovers = run.phase in ACTIVE  # the trainer does not apply such a step, and rolls back after three
    if latest.loss is None and latest.lr is not None and not recovers:
        return Diagnosis("diverged", f"at step {at} the loss is NaN or infinite.", run.lower_lr_advice())
    return None


def diverged(run: DiagnosedRun) -> Diagnosis | None:
    """Diverged: the smoothed loss is out of bounds, after enough steps that this is no accident of the beginning."""
    if len(run.steps) < FEW_STEPS or run.steps[-1] - run.start < FEWEST_STEPS:
        return None
    now, at, unit = run.recent_loss, f"at step {step_text(run.steps[-1])}", run.unit.train
    if now > run.uniform_baseline * (1 + ABOVE_UNIFORM):
        baseline = f"above the uniform baseline ({unit(run.uniform_baseline)})"
        evidence = f"{at} the smoothed training loss is {unit(now)} {unit.name}, {baseline}."
    elif lowest := run.lowest_before_rise():
        fell = f"the smoothed training loss had fallen to {unit(lowest[0])} at step {step_text(lowest[1])}"
        evidence = f"{fell} and is {unit(now)} {at}."
    else:
        return None
    return Diagnosis("diverged", evidence, run.lower_lr_advice())


STILL_FALLING = "It ended while its loss was still falling: a run with more steps may well go lower."
PLANNED_END = "It ended as planned: more steps were expected to memorize the text, which lowers the training loss alone."
"""Of a run whose steps were chosen for its minutes: one that would only gain from them has minutes, not steps."""


def _at_its_end(run: DiagnosedRun) -> str:
    """What more steps may do for a run that has finished while its training loss was falling."""
    is_planned = run.config.expected is not None and run.config.train.steps is not None
    return PLANNED_END if is_planned else STILL_FALLING


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
    evidence = f"{run.describe_trend(lowest=evaluated).rstrip('.')}{_level(run)}."
    return Diagnosis("plateau", evidence, _far_settings(run) or near_source(run) or _plateau_advice(run))


def _level(run: DiagnosedRun) -> str:
    """The baseline or entropy that a loss at a plateau is near to or above, as the end of a sentence."""
    if near_source(run):
        return ""
    text, now, unit = run.entropy, run.loss, run.unit.train
    if now >= run.uniform_baseline * (1 - NEAR):
        words = f"about the uniform baseline ({unit(run.uniform_baseline)})"
    elif text is None:
        return ""
    elif now > text.unigram * (1 + NEAR):
        words = f"above the unigram entropy of the training text ({unit(text.unigram)})"
    elif now > text.bigram * (1 + NEAR):
        words = f"above the bigram entropy of the training text ({unit(text.bigram)})"
    elif now > text.bigram * (1 - NEAR):
        return f"; the loss is about the bigram entropy of the training text ({unit(text.bigram)})"
    else:
        return ""
    return f"; the loss is {words}, so it is not the limit of the text"


def near_source(run: DiagnosedRun) -> str:
    """A sentence if the validation loss is near the known entropy of the source."""
    last, source = run.final or run.history.last_evaluation, run.config.data.entropy_bits_per_byte
    if last is None or last.bits_per_byte is None or source is None or last.bits_per_byte > source * (1 + NEAR_SOURCE):
        return ""
    here = fixed(last.bits_per_byte, 3)
    return f"At {here} bits per byte it is near the entropy of the source ({fixed(source, 3)}), the least possible on average."


def _far_settings(run: DiagnosedRun) -> str:
    """Advice about a learning rate far from the default, or a high dropout; empty if there is neither."""
    default = f"the default of {short_lr(run.default_lr)}"
    if run.peak_lr > FAR * run.default_lr:
        return f"A learning rate of {run.describe_lr()} is far above {default}; a new run with that may go lower."
    if run.peak_lr < run.default_lr / FAR:
        return f"A learning rate of {run.describe_lr()} is far below {default}; a new run with that may go lower."
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
    if last is not None and last.lr is not None:
        if run.phase in ACTIVE:
            return "The learning rate is still high: as it falls, the loss often falls again."
        return "It ended while the learning rate was high; where that falls, the loss often falls again."
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
    after = f"after {whole(run.last_step)} steps" + (f" and {rollbacks_text(len(run.rollbacks))}" if run.rollbacks else "")
    loss, kind, unit = (measured.loss, "validation", run.unit) if measured else (run.loss, "training", run.unit.train)
    then = f" at step {step_text(measured.step)}" if measured and measured.step < run.last_step else ""
    evidence = f"{after} the {kind} loss is {unit(loss)} {unit.name}{then}"
    if level:
        evidence += f", {'above' if loss > level.loss * (1 + NEAR) else 'about'} {level.name} ({unit(level.loss)})"
    far = _far_settings(run)
    verdict: Verdict = "too short to say" if ended else "too early to tell"
    if level and run.phase not in ACTIVE and (level.short == "uniform" or far or run.rollbacks):
        verdict = "nothing learned" if level.short == "uniform" else "little learned"
    more = "" if run.phase in ACTIVE else _at_its_end(run) if falls and ended else MORE_STEPS
    return Diagnosis(verdict, f"{evidence}.", far or more)


def learning(run: DiagnosedRun) -> Diagnosis:
    """Learning, or learned where the run has finished: the verdict where no check has a finding."""
    found = run.trend_evaluations
    follows = len(found) < 2 or found[-1].loss < found[0].loss * (1 - RISE)
    early = any(event.kind == "early_stop" for event in run.events)
    is_over = run.phase == "finished"
    still = is_over and run.relative_fall() > STANDS_STILL and follows and not early
    advice = _at_its_end(run) if still else ""
    verdict: Verdict = "learned" if is_over else "learning"
    evidence = run.describe_trend() if len(found) > 1 or run.relative_fall() > 0 else run.describe_all()
    return Diagnosis(verdict, evidence, _far_settings(run) or near_source(run) or advice)


CHECKS: tuple[Callable[[DiagnosedRun], Diagnosis | None], ...] = (
    gave_up,
    rolled_back,
    diverged,
    warming_up,
    too_early,
    copied,
    differs,
    overfitting,
    plateau,
    little_learned,
)
"""In the order in which they are tried; without any finding a run is learning."""


def diagnosis_of(run: DiagnosedRun) -> Diagnosis:
    """The first verdict of `CHECKS` that fits."""
    if run.history.latest is None or run.history.latest.step == 0:
        return _without_losses(run)
    return next((found for check in CHECKS if (found := check(run))), None) or learning(run)


def _without_losses(run: DiagnosedRun) -> Diagnosis:
    """The diagnosis before the first step, and of a run at rest whose losses are missing."""
    if run.config.imported is not None:
        return Diagnosis("imported", "its weights were trained elsewhere, so that there are no losses here.")
    if run.config.tuning is not None:
        return Diagnosis("fine-tuned", "its losses are those of answers, not of the text; Learn shows them: After pretraining.")
    if run.phase in ACTIVE:
        return Diagnosis("waiting", "no step has been taken yet.")
    if run.status.step:
        return Diagnosis("losses missing", f"the run is at step {whole(run.status.step)}, and its metrics.jsonl has no step.")
    return Diagnosis("too early to tell", "no step has been taken.")
