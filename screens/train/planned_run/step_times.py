"""The time of a step of a planned run: measured aside while its form is in view, and kept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from textual import on, work
from textual.message import Message
from textual.reactive import reactive
from textual.widget import Widget

from lab.core.errors import UserError
from lab.planning.estimates.measure_step_time import StepTimer, step_key
from lab.planning.settings_form import Plan
from lab.runs.home_folder import home
from lab.runs.run_summary import RunSummary

SECONDS_BEFORE_TIMING = 2.0
"""Delay after the last change before a step of the planned run is timed."""


class StepTimes(Widget):
    """A widget with a plan: `plan_again` is called when the time of its step is known. `runs` may keep the machine busy."""

    preparing: reactive[bool] = reactive(False)
    runs: reactive[tuple[RunSummary, ...]] = reactive(())

    @dataclass
    class Timed(Message):
        """The measured time of a step of the planned run, or the reason why it cannot be measured."""

        key: str
        seconds: float | None
        problem: str = ""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._step_seconds: dict[str, float | None] = {}
        self._step_timer: StepTimer | None = None
        self._timing_key = ""
        """Key of the step that is being timed."""

    def on_hide(self) -> None:
        self.cancel_timing()

    def on_unmount(self) -> None:
        self.cancel_timing()

    def watch_runs(self, before: tuple[RunSummary, ...], after: tuple[RunSummary, ...]) -> None:
        """Plan again where a run has begun or ended: its speed is known, and the machine is busy or free."""
        was_active, is_active = ({run.name for run in runs if run.is_active} for runs in (before, after))
        if was_active != is_active and not self.preparing:
            self.plan_again()

    def plan_again(self) -> None:
        """Plan with what is known now."""
        raise NotImplementedError

    def known_step_seconds(self, plan: Plan) -> float | None:
        """Seconds, if known. Else it will be measured, unless another run keeps the machine busy."""
        if plan.run is None or plan.problems or plan.run.text.tokens is None:
            self.cancel_timing()
            return None
        key = step_key(plan.run.model, plan.run.train)
        if key not in self._step_seconds and key != self._timing_key:
            self.cancel_timing()
            busy = any(run.is_active for run in self.runs)
            if self.is_on_screen and not self.preparing and not busy:
                self._timing_key = key
                self._step_timer = StepTimer(plan.run.model, plan.run.train, home())
                self._time_steps(self._step_timer, key)
        return self._step_seconds.get(key)

    @property
    def is_timing(self) -> bool:
        """True while the step of the planned run is being timed, which may change the plan."""
        return bool(self._timing_key) and self._timing_key not in self._step_seconds

    def cancel_timing(self) -> None:
        """End the measurement, if there is one."""
        if self._step_timer is not None:
            self._step_timer.cancel()
        self._step_timer, self._timing_key = None, ""

    @work(thread=True, group="time", exit_on_error=True)
    def _time_steps(self, timer: StepTimer, key: str) -> None:
        try:
            seconds = timer.measure(SECONDS_BEFORE_TIMING)
        except UserError as error:
            self.post_message(self.Timed(key, None, str(error)))
        else:
            if seconds is not None:
                self.post_message(self.Timed(key, seconds))

    @on(Timed)
    def _show_time(self, message: Timed) -> None:
        self._step_seconds[message.key] = message.seconds
        if message.problem:
            self.notify(message.problem, severity="warning", markup=False)
        if not self.preparing:
            self.plan_again()
