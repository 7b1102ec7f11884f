"""Live views of one stage: of the forward pass, as in Inspect, and of a training step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace
from textual.binding import Binding

from lab.core.errors import UserError
from lab.core.number_format import counted, fixed
from lab.engine.method_registry import ONE_STEP, VIEW, EngineMethod, OneStepParams, ViewParams
from lab.inspect.stages.stage_registry import IN_LAYERS, LAYER, OF_ANY_LAYER, STAGES
from lab.training.one_step import step_stages
from lab.training.one_step.step_stages import StepAnswer
from lab.views.blocks import Destination, View
from lab.views.screen_state import ScreenState
from screens.learn.learn_page import LearnEngine
from screens.learn.live.engine_view import EngineView, PlaceView
from screens.learn.live.live_widget import ModelAtHand
from screens.messages import OpenState

OF_HEADS = tuple(stage.name for stage in LAYER["attention"])
"""Stages in which the head makes a difference, or is marked."""


class StageWidget(PlaceView):
    """Options: `stage`, a name of `lab.inspect.stages.stage_registry`, and those of a place."""

    OPTIONS = ("stage", *PlaceView.OPTIONS)
    HELP = "**Live view.** Computed on your run and its prompt; arrows move on the numbers."
    BINDINGS = [
        Binding("enter", "go", "Go there", id="live.go", tooltip="Open the place that the cell leads to in Inspect"),
    ]

    def __init__(self, options: Mapping[str, str], engine: LearnEngine) -> None:
        super().__init__(options, engine)
        self.stage = self.options.get("stage", "tokens")
        if self.stage not in STAGES:
            raise UserError(f"There is no stage called {self.stage}; the stages are {', '.join(STAGES)}.")

    def question(self, model: ModelAtHand) -> tuple[EngineMethod[Any, Any], Any]:
        return VIEW, ViewParams(
            run=model.run,
            checkpoint=self.checkpoint,
            text=model.prompt,
            position=self.position,
            stage=self.stage,
            layer=self.layer_index,
            head=self.head_index,
            width_hint=self.view.room,
        )

    def full_screen(self) -> ScreenState | None:
        return self.state_in_inspect(self.stage)

    @property
    def _destination(self) -> Destination | None:
        """The place that the cell under the cursor leads to."""
        return self.view.spot.destination if self.view.spot is not None else None

    def action_go(self) -> None:
        to, here = self._destination, self.full_screen()
        if to is None or here is None:
            return
        layer = here.layer if to.layer is None else to.layer
        head = here.head if to.head is None else to.head
        position = here.position if to.position is None else to.position
        self.post_message(OpenState(replace(here, stage=to.stage, layer=layer, head=head, position=position)))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        match action:
            case "head":
                return self.stage in (*OF_HEADS, *OF_ANY_LAYER)
            case "layer":
                return self.stage in (*IN_LAYERS, *OF_ANY_LAYER)
            case "go":
                return self._destination is not None
            case "init":
                return self.stage != "tokens"
        return super().check_action(action, parameters)


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
        if self.stage not in step_stages.STAGES:
            raise UserError(f"There is no stage of a step called {self.stage}; the stages are {', '.join(step_stages.STAGES)}.")
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
