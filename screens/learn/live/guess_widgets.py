"""Live widgets of guesses on a model: `predict-next-token` and `predict-experiment`."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding

from lab.core.errors import UserError
from lab.engine.method_registry import EXPERIMENT, GUESS, OPEN, EngineMethod, ExperimentParams, GuessParams, OpenParams
from lab.experiments.experiment_result import ExperimentResult
from lab.lessons.conditions import GUESS_OPTIONS, ask_in_words, parse_experiment_guess
from lab.views.blocks import GuessQuestion
from lab.views.screen_state import ScreenState
from screens.blocks.block_view import BlockView
from screens.learn.learn_page import LearnEngine, Refused
from screens.learn.live.engine_view import LOADING
from screens.learn.live.live_widget import LiveWidget, ModelAtHand
from screens.widgets.guess_view import GuessView

MOST_LOTTERIES = 20
"""Places left out one after the other, until one is asked about all the same: in a model hardly trained all are alike."""
LEAST_ANSWER, MOST_ANSWER = 5, 12
"""Lines of a revealed answer that has a picture, with its border."""
LEAST_PICTURE = 9
"""Lines of the picture below an answer, with its border: a heading and a small table."""


class GuessWidget(LiveWidget):
    """Shows a question as a guess."""

    ASKS_GUESS = True

    def __init__(self, options: Mapping[str, str], engine: LearnEngine) -> None:
        super().__init__(options, engine)
        self.guess = GuessView()
        self._is_answered = False

    def compose(self) -> ComposeResult:
        yield self.guess

    @property
    def is_settled(self) -> bool:
        return self._is_answered and self.guess.is_settled

    def show_question(self, question: GuessQuestion) -> None:
        self._is_answered = True
        self.say("")
        self.guess.show(question, f"lesson {self.lesson}".strip())
        if not question.choices:
            self.post_message(self.Answered(self))

    def _refused(self, refused: Refused) -> None:
        self._is_answered = True
        self.guess.clear()
        self.say(refused.sentence, error=True)
        self.post_message(self.Answered(self))

    def take_focus(self) -> bool:
        self.guess.focus()
        return True

    @on(GuessView.Revealed)
    def _revealed(self) -> None:
        """Name what comes next; the reader shows with each sentence that there is a place to open in full now."""
        self.say("Answered: space goes on.")
        self.post_message(self.Answered(self))


class EngineGuess(GuessWidget):
    """Asks the engine and shows its answer as a guess."""

    @abstractmethod
    def engine_question(self, model: ModelAtHand) -> tuple[EngineMethod[Any, Any], Any]:
        """The engine's method and its parameters."""

    def question_of(self, answer: Any) -> GuessQuestion:
        """The question in the engine's answer. Raises: UserError: if there is none."""
        found: GuessQuestion = answer
        return found

    def show_model(self, model: ModelAtHand) -> None:
        """Open the run first, so that the question is about its weights as they are now."""
        self.model, self._is_answered = model, False
        self.guess.wait()
        if self.engine.is_loading:
            self.say(LOADING)
        self.engine.ask("facts", OPEN, OpenParams(run=model.run), lambda _: self.ask(), self._refused)

    def ask(self) -> None:
        """Ask the engine for the question."""
        if self.model is not None:
            self._is_answered = False
            self.guess.wait()
            method, params = self.engine_question(self.model)
            self.engine.ask("live", method, params, self._answered, self._refused)

    def _answered(self, answer: Any) -> None:
        try:
            question = self.question_of(answer)
        except UserError as error:
            self._refused(Refused(str(error), False))
            return
        self.show_question(question)


class NextTokenGuess(EngineGuess):
    """`predict-next-token`: which token does the model find most probable next?

    Options: `prompt` and `run`, as everywhere; `position`, counted from 1, the last token of the prompt unless given; `shorter`,
    the position for a prompt that has no such one, where the last token's answer was seen before.
    """

    OPTIONS = ("position", "shorter")
    BINDINGS = [Binding("n", "another", "New", id="live.another", tooltip="A new guess, at another place of the prompt")]

    def __init__(self, options: Mapping[str, str], engine: LearnEngine) -> None:
        super().__init__(options, engine)
        self.position: int | None = self.integer("position", 0) - 1 if "position" in self.options else None
        self._shorter = self.integer("shorter", 1) - 1 if "shorter" in self.options else None
        self._lotteries = 0
        """Places left out one after the other."""

    def engine_question(self, model: ModelAtHand) -> tuple[EngineMethod[Any, Any], Any]:
        return GUESS, GuessParams(run=model.run, text=model.prompt, position=self.position)

    def _answered(self, answer: GuessQuestion) -> None:
        """Ask about the next place where a guess at this one would be a lottery."""
        shorter, self._shorter = self._shorter, None
        is_short = self.position is not None and answer.position is not None and answer.position < self.position
        if shorter is not None and is_short:
            self.position = shorter
            self.ask()
            return
        self.position = answer.position
        if answer.is_lottery and self._lotteries < MOST_LOTTERIES and self.position:
            self._lotteries += 1
            self.position -= 1
            self.ask()
        else:
            self._lotteries = 0
            super()._answered(answer)

    def full_screen(self) -> ScreenState | None:
        """The place in Inspect; not before the guess, for it shows the answer."""
        if self.model is None or self.guess.is_open or self.guess.state is None:
            return None
        return ScreenState(mode="inspect", run=self.model.run, prompt=self.model.prompt, stage="logits", position=self.position)

    def action_another(self) -> None:
        """Ask about the position before; from the first one about the last."""
        if self._is_answered and self.position is not None:
            self.position = self.position - 1 if self.position else None
            self.ask()


class MeasuredGuess(EngineGuess):
    """`predict-experiment`: a question of the lesson's own, answered by the measures of an experiment on the model at hand.

    Options: `prompt` and `run`, as everywhere; those in `lab.lessons.conditions`; any other one is an input of the experiment.
    Its picture is shown with the answer.

        ```live predict-experiment
        experiment: gradient_descent
        question: One step of gradient descent. Does the loss on its own tokens rise or fall?
        choice-a: it falls
        right-a: loss_after < loss_before
        choice-b: it rises, or stays as it is
        answer: It went from {loss_before:.4f} to {loss_after:.4f} nats.
        ```
    """

    OPTIONS = GUESS_OPTIONS
    TAKES_ANY_OPTION = True
    DEFAULT_CSS = """
    MeasuredGuess {
        & > GuessView { height: 1fr; }
        & > BlockView { height: 1fr; display: none; }
        &.-revealed > BlockView { display: block; }
    }
    """

    def __init__(self, options: Mapping[str, str], engine: LearnEngine) -> None:
        super().__init__(options, engine)
        parse_experiment_guess(self.options)
        self.inputs = {name: text for name, text in self.options.items() if name not in ("run", "prompt", *self.OPTIONS)}
        self.view = BlockView()
        self._result: ExperimentResult | None = None

    def compose(self) -> ComposeResult:
        yield self.guess
        yield self.view

    def engine_question(self, model: ModelAtHand) -> tuple[EngineMethod[Any, Any], Any]:
        self.remove_class("-revealed")
        self._share_room()
        return EXPERIMENT, ExperimentParams(run=model.run, text=model.prompt, name=self.options["experiment"], inputs=self.inputs)

    def question_of(self, answer: Any) -> GuessQuestion:
        assert self.model is not None
        self._result = answer
        asked = (answer, self.model.run, self.model.prompt, sorted(self.inputs.items()))
        return ask_in_words(self.options, self.own_words, *asked)

    @on(GuessView.Revealed)
    def _show_picture(self) -> None:
        if self._result is not None:
            self.view.show(replace(self._result.view, sentence=""))  # the answer says it
            self.add_class("-revealed")
            self._share_room()

    def _share_room(self) -> None:
        """Give the picture its least height first, then the answer what it needs."""
        answer = max(LEAST_ANSWER, min(MOST_ANSWER, self.size.height - LEAST_PICTURE))
        self.guess.styles.height = answer if self.has_class("-revealed") else "1fr"

    on_resize = _share_room
