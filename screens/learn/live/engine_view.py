"""Live widget that shows a view of the engine: of the user's run and prompt, with the keys for position, head and layer."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace
from textual import on
from textual.app import ComposeResult

from lab.engine.method_registry import EngineMethod
from lab.views.blocks import View
from screens.blocks.block_view import BlockView
from screens.learn.learn_engine import LearnEngine, Refused
from screens.learn.live.live_widget import LiveWidget, ModelAtHand

LOADING = "Loading PyTorch and the model… (a few seconds, once)"
COMPUTING = "Computing on the model…"


class EngineView(LiveWidget):
    """Asks the engine again whenever what it shows depends on has changed, and draws the newest answer."""

    DEFAULT_CSS = "EngineView > BlockView { height: 1fr; }"

    def __init__(self, options: Mapping[str, str], engine: LearnEngine) -> None:
        super().__init__(options, engine)
        self.model: ModelAtHand | None = None
        self.view = BlockView()
        self._is_answered = False
        self._words = ""
        """The sentence on the answer in view; the number under the cursor is named behind it."""

    def compose(self) -> ComposeResult:
        yield self.view

    @property
    def is_settled(self) -> bool:
        return self._is_answered

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
        self._is_answered = False
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
        if self.title_note:
            view = replace(view, title=f"{self.title_note} · {view.title}")
        is_first = self.view.view is None
        self.view.show(view)
        if is_first and not self.view.laid.follows_row:
            self.view.show_head()  # wherever the chosen row is

    def _refused(self, refused: Refused) -> None:
        self._is_answered = True
        self.weights_step = None
        self.view.wait(False)
        self.say(refused.sentence, error=True)

    @on(BlockView.SpotChanged)
    def _tell_spot(self, message: BlockView.SpotChanged) -> None:
        message.stop()
        if not self._is_answered:
            return  # the sentence that says so stays
        spot = message.spot.in_words if message.spot is not None else ""
        self.say(" · ".join(filter(None, (self._words, spot))))

    def take_focus(self) -> bool:
        self.view.focus()
        return True
