"""Live widget `experiment`: one of `lab.experiments` on the user's run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.widgets import Input

from lab.core.errors import UserError
from lab.engine.method_registry import EXPERIMENT, EngineMethod, ExperimentParams
from lab.experiments.experiment_result import ExperimentResult
from lab.inspect.stages.stage_registry import STAGES
from lab.views.blocks import View
from lab.views.screen_state import ScreenState
from models.config import SamplingSettings
from screens.about_key import keyless
from screens.blocks.block_view import BlockView
from screens.learn.learn_page import LearnEngine
from screens.learn.live.engine_view import EngineView, PlaceView
from screens.learn.live.live_widget import ModelAtHand
from screens.widgets.top_bars import MODES

MOVES = ("position", "head", "layer", "init")


class ExperimentWidget(PlaceView):
    """Options: `name`, as in `lab.experiments.experiment_registry`, and those of a place. Further ones:

    - `moves`: the parts of the place that keys change, such as `position head`, and `init`; by default none;
    - `typed`: an input that is typed, and the text to begin with, such as `phrase = running runs ran`;
    - `choices`: an input that a key changes, and its values, such as `size = GPT-2, medium, large`;
    - `opens`: the mode, or the stage of Inspect, that `lesson.open` opens;
    - any other option is an input of the experiment.
    """

    OPTIONS = ("name", "moves", "typed", "choices", "opens", *PlaceView.OPTIONS)
    TAKES_ANY_OPTION = True
    HELP = "**Experiment.** Computed on your run; arrows move on the numbers."
    BINDINGS = [
        Binding("v", "choose(1)", "Another", id="experiment.choose", tooltip="The next value to compare, such as another window"),
        keyless("choose(-1)", "experiment.choose_back", "The value before", "Choice before"),
        Binding("e", "edit", "Edit", id="experiment.edit", tooltip="Edit the text of the experiment; enter ends it"),
        Binding("r", "run_again", "Run again", id="experiment.again", tooltip="Measure again; draw with other random numbers"),
    ]

    def __init__(self, options: Mapping[str, str], engine: LearnEngine) -> None:
        super().__init__(options, engine)
        if "name" not in self.options:
            raise UserError("The live widget experiment needs the option name: one of lab.experiments.experiment_registry.")
        self.moves = self.options.get("moves", "").split()
        if not set(self.moves) <= set(MOVES):
            raise UserError(f"The option moves of a live widget names {', '.join(MOVES)}, not {self.options['moves']!r}.")
        self.opens = self.options.get("opens", "")
        if self.opens and self.opens not in MODES and self.opens not in STAGES:
            raise UserError(f"The option opens of a live widget names a mode or a stage of Inspect, not {self.opens!r}.")
        self.inputs = {name: value for name, value in self.options.items() if name not in ("run", "prompt", *self.OPTIONS)}
        self.chosen, self.choices = self._choices()
        self.typed, _, self._first_text = (part.strip() for part in self.options.get("typed", "").partition("="))
        self._made_for = 0
        """Width that the lines in view were made for; 0 where they do not depend on it."""
        self.runs = 0
        """Number of times that it was run again."""

    def _choices(self) -> tuple[str, list[str]]:
        """The input that is chosen with a key, and its values. Raises: UserError."""
        text = self.options.get("choices", "")
        name, _, values = (part.strip() for part in text.partition("="))
        found = [value.strip() for value in values.split(",") if value.strip()]
        if text and not (name and found):
            raise UserError(f"The option choices of a live widget is as in size = small, large, not {text!r}.")
        if found:
            self.inputs[name] = found[0]
        return name, found

    def compose(self) -> ComposeResult:
        if self.typed:
            field = Input(self._first_text, select_on_focus=False)
            field.border_title = Text(self.typed)
            yield field
        yield from super().compose()

    @on(Input.Changed)
    def _text_typed(self, event: Input.Changed) -> None:
        event.stop()
        self.ask()

    def show_model(self, model: ModelAtHand) -> None:
        if self.moves or not self.options.keys().isdisjoint(MOVES):
            super().show_model(model)
        else:
            EngineView.show_model(self, model)

    def question(self, model: ModelAtHand) -> tuple[EngineMethod[Any, Any], Any]:
        return EXPERIMENT, ExperimentParams(
            run=model.run,
            checkpoint=self.checkpoint,
            text=model.prompt,
            name=self.options["name"],
            position=self.position,
            layer=self.layer_index,
            head=self.head_index,
            sampling=SamplingSettings(seed=self.runs),
            inputs={**self.inputs, self.typed: self.query_one(Input).value} if self.typed else self.inputs,
            width_hint=self.view.room,
        )

    def view_of(self, result: ExperimentResult) -> View:
        self._made_for = result.width
        self.call_later(self._fit)
        return result.view

    @on(BlockView.WidthChanged)
    def _fit(self) -> None:
        """Ask again where the lines were made for another width."""
        if self._made_for not in (0, self.view.room):
            self.ask()

    def words_of(self, result: ExperimentResult) -> str:
        return result.missing

    def full_screen(self) -> ScreenState | None:
        if self.model is None or not self.opens:
            return None
        if self.opens in STAGES:
            return self.state_in_inspect(self.opens)
        return ScreenState(mode=self.opens, run=self.model.run)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action in MOVES:
            return action in self.moves
        if action == "edit":
            return bool(self.typed)
        return action != "choose" or bool(self.choices)

    def action_choose(self, by: int) -> None:
        at = (self.choices.index(self.inputs[self.chosen]) + by) % len(self.choices)
        self.inputs = {**self.inputs, self.chosen: self.choices[at]}
        self.ask()

    def action_run_again(self) -> None:
        self.runs += 1
        self.ask()
