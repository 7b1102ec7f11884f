"""Live widgets `predict-next-token` and `predict-attention`: a guess at the model at hand, before the answer is revealed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding

from lab.engine.method_registry import GUESS, OPEN, GuessParams, OpenParams
from lab.views.blocks import ModelFacts
from lab.views.guess_question import GuessQuestion
from lab.views.screen_state import ScreenState
from screens.learn.learn_engine import LearnEngine, Refused
from screens.learn.live.engine_view import LOADING
from screens.learn.live.live_widget import LiveWidget, ModelAtHand
from screens.widgets.guess.guess_view import GuessView


class GuessWidget(LiveWidget):
    """Asks a question of the engine and shows it as a guess."""

    ABOUT: Literal["next token", "attention"]
    BINDINGS = [Binding("P", "another", "Another", id="live.another", tooltip="Guess at another place of the prompt")]

    def __init__(self, options: Mapping[str, str], engine: LearnEngine) -> None:
        super().__init__(options, engine)
        self.layer_index, self.head_index = self.integer("layer", 1) - 1, self.integer("head", 1) - 1
        self.position: int | None = self.integer("position", 0) - 1 if "position" in self.options else None
        self.guess = GuessView()
        self.model: ModelAtHand | None = None
        self._facts: ModelFacts | None = None
        self._is_answered = False

    def compose(self) -> ComposeResult:
        yield self.guess

    @property
    def is_settled(self) -> bool:
        return self._is_answered and self.guess.is_settled

    def show_model(self, model: ModelAtHand) -> None:
        """Open the run first: its layers and heads bound what can be asked."""
        self.model, self._is_answered = model, False
        self.guess.wait()
        if not self.engine.is_started:
            self.say(LOADING)
        self.engine.ask("facts", OPEN, OpenParams(run=model.run), self._opened, self._refused)

    def _opened(self, facts: ModelFacts) -> None:
        self._facts = facts
        self.layer_index, self.head_index = min(self.layer_index, facts.layers - 1), min(self.head_index, facts.heads - 1)
        self._ask()

    def _ask(self) -> None:
        assert self.model is not None
        self._is_answered = False
        self.guess.wait()
        params = GuessParams(
            run=self.model.run,
            text=self.model.prompt,
            position=self.position,
            layer=self.layer_index,
            head=self.head_index,
            about=self.ABOUT,
        )
        self.engine.ask("live", GUESS, params, self._asked, self._refused)

    def _asked(self, question: GuessQuestion) -> None:
        self._is_answered = True
        self.say("")
        self.position = question.position
        self.guess.show(question, f"lesson {self.lesson}".strip())

    def _refused(self, refused: Refused) -> None:
        self._is_answered = True
        self.guess.clear()
        self.say(refused.sentence, error=True)

    def take_focus(self) -> bool:
        self.guess.focus()
        return True

    def full_screen(self) -> ScreenState | None:
        """The place in Inspect; not before the guess, for it shows the answer."""
        if self.model is None or self.guess.is_open or self.guess.state is None:
            return None
        return ScreenState(
            mode="inspect",
            run=self.model.run,
            prompt=self.model.prompt,
            stage=self._stage,
            layer=self.layer_index,
            head=self.head_index,
            position=self.position,
        )

    @property
    def _stage(self) -> str:
        return "scores" if self.ABOUT == "attention" else "logits"

    def action_another(self) -> None:
        """Ask about another place."""
        if self._facts is not None and self._is_answered and self.position is not None:
            self._move_on(self._facts)
            self._ask()

    def _move_on(self, facts: ModelFacts) -> None:
        """Go to the place that is asked about next."""
        raise NotImplementedError

    @on(GuessView.Revealed)
    def _revealed(self) -> None:
        self.say("")  # now there is a place to open in full


class NextTokenGuess(GuessWidget):
    """`predict-next-token`: which token does the model find most probable next?

    Options: `prompt` and `run`, as everywhere; `position`, counted from 1, the last token of the prompt unless given. After the
    reveal `P` asks about another position, `o` opens it in Inspect.

        ```live predict-next-token
        prompt: The big dog ran
        ```
    """

    ABOUT = "next token"
    OPTIONS = ("position",)

    def _move_on(self, facts: ModelFacts) -> None:
        """The position before; from the first one the last."""
        self.position = self.position - 1 if self.position else None


class AttentionGuess(GuessWidget):
    """`predict-attention`: which token does this head attend to most from this position?

    Options: `prompt` and `run`, as everywhere; `layer`, `head` and `position`, counted from 1. Unless given, the first layer, its
    first head and the last token; one that the model or the prompt does not have is the last one. After the reveal `P` asks about
    another head, `o` opens it in Inspect.

        ```live predict-attention
        layer: 2
        head: 1
        ```
    """

    ABOUT = "attention"
    OPTIONS = ("layer", "head", "position")

    def _move_on(self, facts: ModelFacts) -> None:
        """The next head; after the last one of a layer the first of the next layer."""
        at = (self.layer_index * facts.heads + self.head_index + 1) % (facts.layers * facts.heads)
        self.layer_index, self.head_index = divmod(at, facts.heads)
