"""Live widget `one-step`: a training step of the user's model on one sentence, stage by stage."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from textual.binding import Binding

from lab.core.errors import UserError
from lab.core.number_format import counted, fixed
from lab.engine.method_registry import ONE_STEP, EngineMethod, OneStepParams
from lab.training.one_step.step_stages import STAGES, StepAnswer
from lab.views.blocks import View
from lab.views.screen_state import ScreenState
from screens.learn.learn_engine import LearnEngine
from screens.learn.live.engine_view import EngineView
from screens.learn.live.live_widget import ModelAtHand

SENTENCE = "The big dog ran fast."
AFTER = "after"
MOST_STEPS = 100


class OneStepWidget(EngineView):
    """Options: `stage`, a name of `lab.training.one_step.step_stages`; `sentence`, the text to learn from."""

    OPTIONS = ("stage", "sentence")
    HELP = "**One step.** Computed on a copy of your run's weights: nothing on disk changes."
    BINDINGS = [
        Binding("enter", "take(1)", "Take a step", id="live_step.take", tooltip="Take a training step on this sentence"),
        Binding("u", "take(-1)", "Undo", id="live_step.undo", tooltip="Undo the last step"),
        Binding("greater_than_sign", "position(1)", "Token", id="live_step.right", key_display="< >", tooltip="The next token"),
        Binding("less_than_sign", "position(-1)", "Token before", id="live_step.left", show=False, tooltip="The token before"),
    ]

    def __init__(self, options: Mapping[str, str], engine: LearnEngine) -> None:
        super().__init__(options, engine)
        self.stage = self.options.get("stage", "losses")
        if self.stage not in STAGES:
            raise UserError(f"There is no stage of a step called {self.stage}; the stages are {', '.join(STAGES)}.")
        self.fewest = int(self.stage == AFTER)
        """Steps that are taken at least: before the first one there is no `after`."""
        self.applied = self.fewest
        self.position: int | None = None
        self._tokens = 0

    def question(self, model: ModelAtHand) -> tuple[EngineMethod[Any, Any], Any]:
        return ONE_STEP, OneStepParams(
            run=model.run,
            text=self.options.get("sentence", SENTENCE),
            applied=self.applied,
            position=self.position,
            stage=self.stage,
        )

    def view_of(self, step: StepAnswer) -> View:
        self.position, self._tokens = step.position, len(step.tokens)
        return step.view

    def words_of(self, step: StepAnswer) -> str:
        losses = " → ".join(fixed(loss, 3) for loss in step.facts.losses[: step.facts.applied + 1][-4:])
        return f"mean loss: {losses} ({counted(step.facts.applied, 'step')} taken)"

    def full_screen(self) -> ScreenState | None:
        return ScreenState(mode="train", run=self.model.run) if self.model is not None else None

    def action_take(self, by: int) -> None:
        applied = max(self.fewest, min(self.applied + by, MOST_STEPS))
        if applied != self.applied:
            self.applied = applied
            self.ask()

    def action_position(self, by: int) -> None:
        if self.position is not None:
            self.position = max(1, min(self.position + by, self._tokens - 1))
            self.ask()
