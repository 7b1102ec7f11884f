"""Divergence: a loss that is NaN or infinite, above the uniform baseline, or far above its own lowest."""

from lab.core.number_format import fixed, whole
from lab.reports.diagnosis.diagnosed_run import DiagnosedRun
from lab.reports.diagnosis.loss_wording import rollbacks_in_words, step_in_words
from lab.reports.diagnosis.thresholds import ABOVE_UNIFORM, FEW_STEPS, FEWEST_STEPS
from lab.reports.diagnosis.verdicts import Diagnosis
from lab.runs.run_folder import ACTIVE


def gave_up(run: DiagnosedRun) -> Diagnosis | None:
    """Diverged: the run ended with a loss that is NaN or infinite, or its trainer gave up."""
    latest = run.history.latest
    assert latest is not None
    at = whole(latest.step)
    if run.phase == "failed" and run.bad_steps and run.bad_steps[-1] == latest.step:
        loss = "is NaN or infinite" if latest.loss is None else f"is {fixed(latest.loss, 2)}"
        evidence = f"the loss of step {at} {loss}, and the trainer gave up after {rollbacks_in_words(len(run.rollbacks))}."
        return Diagnosis("diverged", evidence, run.lower_lr_advice())
    recovers = run.phase in ACTIVE  # the trainer does not apply such a step, and rolls back after three
    if latest.loss is None and latest.lr is not None and not recovers:
        return Diagnosis("diverged", f"at step {at} the loss is NaN or infinite.", run.lower_lr_advice())
    return None


def diverged(run: DiagnosedRun) -> Diagnosis | None:
    """Diverged: the smoothed loss is out of bounds, after enough steps that this is no accident of the beginning."""
    if len(run.steps) < FEW_STEPS or run.steps[-1] - run.start < FEWEST_STEPS:
        return None
    now = run.recent_loss
    if now > run.uniform_baseline * (1 + ABOVE_UNIFORM):
        evidence = (
            f"at step {step_in_words(run.steps[-1])} the smoothed training loss is {fixed(now, 2)} nats per token, above "
            f"the uniform baseline ({fixed(run.uniform_baseline, 2)})."
        )
        return Diagnosis("diverged", evidence, run.lower_lr_advice())
    if lowest := run.lowest_before_rise():
        evidence = (
            f"the smoothed training loss had fallen to {fixed(lowest[0], 2)} at step {step_in_words(lowest[1])} and is "
            f"{fixed(now, 2)} at step {step_in_words(run.steps[-1])}."
        )
        return Diagnosis("diverged", evidence, run.lower_lr_advice())
    return None
