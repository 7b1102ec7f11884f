"""Base classes of live widgets that show a view of the engine; those of a place have keys for position, head and layer."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

from msgspec.structs import replace
from textual import on
from textual.binding import Binding

from lab.engine.method_registry import LENS, OPEN, EngineMethod, LensParams, OpenParams
from lab.views.blocks import LensPath, ModelFacts, View
from lab.views.screen_state import ScreenState
from screens.about_key import About, described
from screens.blocks.block_view import BlockView
from screens.learn.learn_page import LearnEngine, Refused
from screens.learn.live.live_widget import ModelAtHand, ViewWidget

LOADING = "Loading PyTorch and the model… (a few seconds, once)"
COMPUTING = "Computing on the model…"


class EngineView(ViewWidget):
    """Asks the engine again whenever what it shows depends on has changed, and draws the newest answer."""

    def __init__(self, options: Mapping[str, str], engine: LearnEngine) -> None:
        super().__init__(options, engine)
        self.heading = ""
        """Words before the view's title, such as the title of the step that it belongs to."""
        self._is_answered = False
        self._is_refused = False
        """True while the newest question has no answer but a sentence; what was shown of an older one is gone."""
        self.begins_at_head = True
        """True where the next answer is shown from its head, wherever its chosen row is."""
        self._words = ""
        """The sentence on the answer in view; the number under the cursor is named behind it."""

    @property
    def title_note(self) -> str:
        """A few words before the view's title; "" for none."""
        return ""

    @abstractmethod
    def question(self, model: ModelAtHand) -> tuple[EngineMethod[Any, Any], Any]:
        """The engine's method and its parameters, as things are."""

    def view_of(self, answer: Any) -> View:
        """The view in the engine's answer."""
        found: View = answer
        return found

    def words_of(self, answer: Any) -> str:
        """A sentence on the answer for the status line; "" if there is none."""
        return ""

    def show_model(self, model: ModelAtHand) -> None:
        self.model, self.weights_step = model, None
        self.ask()

    def ask(self) -> None:
        """Ask the engine for what is to be seen now."""
        if self.model is None:
            return
        self.wait()
        method, params = self.question(self.model)
        self.engine.ask("live", method, params, self._answered, self._refused)

    def wait(self) -> None:
        """Mark what is shown as outdated: an answer is due."""
        self._is_answered = self._is_refused = False
        if self.engine.is_loading or self.view.view is None:
            self.say(LOADING if self.engine.is_loading else COMPUTING)
        if self.view.view is not None:
            self.view.wait(True)

    def _answered(self, answer: Any) -> None:
        self._is_answered = True
        self._words = self.words_of(answer)
        view = self.view_of(answer)
        self.weights_step = view.step
        self.say(self._words)
        view = replace(view, title=" · ".join(filter(None, (self.heading, self.title_note, view.title))))
        self.view.show(view)
        if self.begins_at_head and (row := self.view.laid.followed()) is not None and self.view.cursor is not None:
            self.view.place(row)
        if self.begins_at_head and not self.view.laid.follows_row:
            self.view.show_head()
        self.begins_at_head = False

    def _refused(self, refused: Refused) -> None:
        self._is_answered = self._is_refused = True
        self.weights_step = None
        self.view.clear()  # its figures would stand as the answer
        self.say(refused.sentence, error=True)

    @on(BlockView.SpotChanged)
    def _tell_spot(self, message: BlockView.SpotChanged) -> None:
        message.stop()
        if not self._is_answered or self._is_refused:
            return  # the sentence that says so stays
        spot = message.spot.description if message.spot is not None else ""
        self.say(" · ".join(filter(None, (self._words, spot))))


TRAINED, INIT = "best", "0"
"""Checkpoints: the best one, and the snapshot of step 0."""


class PlaceView(EngineView):
    """Options: `layer`, `head` and `position`, counted from 1; `weights: init` for those before training.

    A layer, head or position that the model or the prompt does not have is the last.
    """

    OPTIONS: ClassVar[tuple[str, ...]] = ("layer", "head", "position", "weights")
    BINDINGS = described(
        Binding("greater_than_sign", "position(1)", "Token", id="live.right", key_display="< >", tooltip="The next token"),
        About("Live view", words="token", also=("live.left",), place=1),
        Binding("less_than_sign", "position(-1)", "Token before", id="live.left", show=False, tooltip="The token before"),
        Binding("right_square_bracket", "head(1)", "Head", id="live.head", key_display="[ ]", tooltip="The next head"),
        About("Live view", words="head", also=("live.previous_head",), place=1),
        Binding("left_square_bracket", "head(-1)", "Head back", id="live.previous_head", show=False, tooltip="The head before"),
        Binding("right_curly_bracket", "layer(1)", "Layer", id="live.layer", key_display="{ }", tooltip="The next layer"),
        About("Live view", words="layer", also=("live.previous_layer",), place=1),
        Binding("left_curly_bracket", "layer(-1)", "Back", id="live.previous_layer", show=False, tooltip="The layer before"),
        Binding("t", "init", "At init", id="live.init", tooltip="Over time: the weights at init, or the trained ones"),
    )

    def __init__(self, options: Mapping[str, str], engine: LearnEngine) -> None:
        super().__init__(options, engine)
        self.layer_index, self.head_index = self.integer("layer", 1) - 1, self.integer("head", 1) - 1
        self.position: int | None = self.integer("position", 0) - 1 if "position" in self.options else None
        self.checkpoint = INIT if self.options.get("weights") == "init" else TRAINED
        self._facts: ModelFacts | None = None
        self._path: LensPath | None = None

    @property
    def title_note(self) -> str:
        return "weights at init" if self.checkpoint == INIT else ""

    def show_model(self, model: ModelAtHand) -> None:
        """Open the run first: its layers and heads, and the tokens of the prompt, bound what can be chosen."""
        self.model, self.weights_step = model, None
        self.wait()
        self.engine.ask("facts", OPEN, OpenParams(run=model.run), self._opened, self._refused)

    def _opened(self, facts: ModelFacts) -> None:
        assert self.model is not None
        self._facts = facts
        self.layer_index, self.head_index = min(self.layer_index, facts.layers - 1), min(self.head_index, facts.heads - 1)
        params = LensParams(run=self.model.run, text=self.model.prompt)
        self.engine.ask("path", LENS, params, self._traced, self._refused)

    def _traced(self, path: LensPath) -> None:
        self._path = path
        last = len(path.tokens) - 1
        self.position = last if self.position is None else min(self.position, last)
        self.ask()

    def _refused(self, refused: Refused) -> None:
        if not refused.engine_died and self.options.get("weights") != "init":
            self.checkpoint = TRAINED  # not every run has its weights at init
        super()._refused(refused)

    def state_in_inspect(self, stage: str) -> ScreenState | None:
        """The same place in Inspect."""
        if self.model is None:
            return None
        return ScreenState(
            mode="inspect",
            run=self.model.run,
            checkpoint=self.checkpoint,
            prompt=self.model.prompt,
            stage=stage,
            layer=self.layer_index,
            head=self.head_index,
            position=self.position,
        )

    def _ask_elsewhere(self) -> None:
        """Ask for another place; the cursor, which is on a number of the place before, goes until an arrow is pressed."""
        self.view.cursor = None
        self.ask()

    def action_position(self, by: int) -> None:
        if self._path is not None and self.position is not None:
            self.position = max(0, min(self.position + by, len(self._path.tokens) - 1))
            self._ask_elsewhere()

    def action_head(self, by: int) -> None:
        if self._facts is not None:
            self.head_index = (self.head_index + by) % self._facts.heads
            self._ask_elsewhere()

    def action_layer(self, by: int) -> None:
        if self._facts is not None:
            self.layer_index = (self.layer_index + by) % self._facts.layers
            self._ask_elsewhere()

    def action_init(self) -> None:
        self.checkpoint = TRAINED if self.checkpoint == INIT else INIT
        self.ask()

    @on(BlockView.WidthChanged)
    def _width_changed(self) -> None:
        if self._path is not None:
            self.ask()
