"""Live widget `stage`: a stage of the forward pass, the same view as in Inspect."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace
from textual.binding import Binding

from lab.core.errors import UserError
from lab.engine.method_registry import VIEW, EngineMethod, ViewParams
from lab.inspect.stages.stage_registry import IN_LAYERS, LAYER, OF_ANY_LAYER, STAGES
from lab.views.blocks import Destination
from lab.views.screen_state import ScreenState
from screens.learn.learn_engine import LearnEngine
from screens.learn.live.engine_view import PlaceView
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
