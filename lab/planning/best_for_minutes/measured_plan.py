"""The plan for a number of minutes by steps that were timed on this machine: the chosen one, until it is one that was timed."""

import time
from collections.abc import Callable
from pathlib import Path

from lab.core.machine import machine
from lab.planning.best_for_minutes.earlier_outcomes import known_outcomes
from lab.planning.best_for_minutes.plan_for_minutes import MinutesPlan, plan_for_minutes
from lab.planning.best_for_minutes.step_speed import StepSpeed
from lab.planning.estimates.measure_step_time import StepTimer, known_times, step_key
from lab.planning.resolve_run import TextSize
from lab.planning.run_request import RunRequest

MOST_TIMED = 6
"""Shapes that are timed, at most: each takes some seconds."""
TIMING_SHARE = 0.3
"""Share of the minutes that may have passed when another shape is timed: on a busy machine they would pass without training."""


def measured_plan(request: RunRequest, text: TextSize, home: Path, passed: float, waiting: Callable[[], None]) -> MinutesPlan:
    """The plan, `passed` seconds after the run was asked for. `waiting` is called while steps are timed, and cancels by raising.
    Raises UserError where the steps cannot be computed, SettingError if there can be no such run."""
    times, outcomes, begun = known_times(home), known_outcomes(home), time.monotonic()
    for turn in range(MOST_TIMED + 1):
        now = passed + time.monotonic() - begun
        plan = plan_for_minutes(request, text, StepSpeed(machine(), times), outcomes, now)
        if plan.best.is_measured or turn == MOST_TIMED or now > TIMING_SHARE * 60 * plan.minutes:
            break
        run = plan.best.run
        seconds = StepTimer(run.model, run.train, home).measure(waiting=waiting)
        assert seconds is not None, "never cancelled"
        times[step_key(run.model, run.train)] = seconds
    return plan
