"""Live widgets that the engine computes: stages of the forward pass and of a training step, and experiments."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace
from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.widgets import Input

from lab.core.errors import UserError
from lab.core.number_format import counted, fixed
from lab.engine.method_registry import EXPERIMENT, ONE_STEP, VIEW, EngineMethod, ExperimentParams, OneStepParams, ViewParams
from lab.experiments.experiment_result import ExperimentResult
from lab.inspect.stages.stage_registry import IN_LAYERS, LAYER, OF_ANY_LAYER, STAGES
from lab.training.one_step import step_stages
from lab.training.one_step.step_stages import StepAnswer
from lab.views.blocks import Destination, View
from lab.views.screen_state import ScreenState
from models.config import SamplingSettings
from screens.about_key import keyless
from screens.blocks.block_view import BlockView
from screens.learn.learn_page import LearnEngine
from screens.learn.live.engine_view import EngineView, PlaceView
from screens.learn.live.live_widget import ModelAtHand
from screens.messages import OpenState
from screens.widgets.top_bars import MODES

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
        self.begins_at_head = True
        self.ask()

    def action_run_again(self) -> None:
        self.runs += 1
        self.ask()
