"""The diagnosis of a run: the first check with a finding decides the verdict.

Everything follows from the run's settings, its metrics, its rollbacks and its text. Single losses are noise, so that the smoothed
training loss and the evaluations are compared over parts of the run, and of two numbers both steps are named. Steps whose
update was not applied, and all before the last rollback, are left out: the present weights do not come from them.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from lab.core.number_format import whole
from lab.reports.diagnosis.diagnosed_run import DiagnosedRun
from lab.reports.diagnosis.progress_checks import (
    copied,
    differs,
    diverged,
    gave_up,
    learning,
    little_learned,
    overfitting,
    plateau,
    rolled_back,
    too_early,
    warming_up,
)
from lab.reports.diagnosis.verdicts import Diagnosis
from lab.reports.text_entropy import TextEntropy
from lab.runs.run_folder import ACTIVE
from lab.runs.run_schema import Event, RunConfig, Status

if TYPE_CHECKING:
    from lab.runs.loss_history import LossHistory

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
"""In the order in which they are tried; a run for which none has a finding is learning."""


def diagnose(
    config: RunConfig,
    status: Status,
    history: "LossHistory",
    *,
    phase: str = "",
    entropy: TextEntropy | None = None,
    events: Sequence[Event] = (),
) -> Diagnosis:
    """Diagnose a run from its curves: the first verdict of `CHECKS` that fits.

    `phase` is the real one where that is not the status's: "interrupted". `entropy` is that of the run's own text, if known;
    `events` are all of the run.
    """
    return diagnosis_of(DiagnosedRun(config, status, history, phase or status.phase, entropy, events))


def diagnosis_of(run: DiagnosedRun) -> Diagnosis:
    """The diagnosis of a run whose figures are at hand already."""
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
