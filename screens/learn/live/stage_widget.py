"""Live widget `stage`: a stage of the forward pass, the same view as in Inspect."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lab.core.errors import UserError
from lab.engine.method_registry import VIEW, EngineMethod, ViewParams
from lab.inspect.stages.stage_registry import IN_LAYERS, LAYER, OF_ANY_LAYER, STAGES
from lab.views.screen_state import ScreenState
from screens.learn.learn_engine import LearnEngine
from screens.learn.live.live_widget import ModelAtHand
from screens.learn.live.place_view import PlaceView

OF_HEADS = tuple(stage.name for stage in LAYER["attention"])
"""Stages in which the head makes a difference, or is marked."""


class StageWidget(PlaceView):
    """Options: `stage`, a name of `lab.inspect.stages.stage_registry`, and those of a place."""

    OPTIONS = ("stage", *PlaceView.OPTIONS)
    HELP = (
        "**Live view.** Computed on your run and its prompt. `<` and `>` choose the token, `[` and `]` the head, `{` and `}` the "
        "layer; `i` shows the weights at init, and back; arrows move on the numbers, `o` opens the same place in Inspect."
    )

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

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        match action:
            case "head":
                return self.stage in (*OF_HEADS, *OF_ANY_LAYER)
            case "layer":
                return self.stage in (*IN_LAYERS, *OF_ANY_LAYER)
            case "init":
                return self.stage != "tokens"
        return super().check_action(action, parameters)
