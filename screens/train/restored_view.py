"""The place of Train as a state, and the way back to it."""

from __future__ import annotations

from typing import get_args

from textual.reactive import var

from lab.engine.method_registry import OneStepParams
from lab.one_step.step_stages import STAGES
from lab.views.screen_state import ScreenState
from screens.messages import CompareRuns
from screens.train.run_view import RunPage
from screens.train.run_view_keys import RunViewKeys
from screens.train.watched_run import WatchedRun

FORM, COMPARISON, ONE_STEP = "new", "compare", "one step"
"""Pages of a state beside those of a run: the form of a new one, and the two screens that open over Train."""


class RestoredView(RunViewKeys):
    """A screen that shows the form of a new run, or a run's view."""

    making: var[bool]
    watched: WatchedRun | None
    _waiting: ScreenState | None = None
    """A state whose run is still to be read."""

    def screen_state(self) -> ScreenState:
        if self.making:
            return ScreenState(mode=self.MODE, page=FORM)
        view = self.view
        layer, head = view.insights.head or (None, None)
        step = None if view.eval_step is None else int(view.eval_step)
        return ScreenState(mode=self.MODE, page=view.page, run=self.lab.run_name, step=step, layer=layer, head=head)

    def restore_state(self, state: ScreenState) -> None:
        self.making = state.page == FORM
        if state.page in get_args(RunPage):
            self.view.page = state.page  # type: ignore[assignment]
            self._waiting = state
            self.run_shown()
        elif state.page == COMPARISON and state.others:
            self.post_message(CompareRuns((state.run, *state.others)))
        elif state.page == ONE_STEP:
            from screens.train.one_step.one_step_screen import OneStepScreen

            stage = state.stage if state.stage in STAGES else next(iter(STAGES))
            self.app.push_screen(OneStepScreen(first=OneStepParams(run="", stage=stage, text=state.prompt or None)))

    def run_shown(self) -> None:
        """Go to the evaluation and the head of a state, once its run is in view."""
        state, watched = self._waiting, self.watched
        if state is None or watched is None or watched.name != state.run:
            return
        self._waiting, model = None, watched.config.model
        self.view.eval_step = state.step
        if state.layer is not None and state.head is not None:
            self.view.insights.head = min(state.layer, model.layers - 1), min(state.head, model.heads - 1)
