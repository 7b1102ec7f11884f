"""The widget for a guess: a question, its choices by letter or arrows, then the reveal and the score."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from textual import events, on, work
from textual.binding import Binding
from textual.message import Message

from lab.views.guess_question import GuessQuestion
from screens.widgets.guess.guess_lines import LETTERS, GuessState, guess_lines
from screens.widgets.piece_lines import PieceLinesView

if TYPE_CHECKING:
    from lab.learner.predictions import LearnerPrediction, Score

WAITING = "The question is being computed…"
IN_SIGHT = "Its answer was on screen before: this guess does not count. P asks about another place."
ANSWERED = "You have guessed this before: only the first guess counts."


class GuessView(PieceLinesView):
    """Shows a question by `show`; the rest is between it and the user. The answer is drawn only once a choice is made."""

    COMPONENT_CLASSES = {"lines--right"}
    DEFAULT_CSS = """
    GuessView > .lines--right { color: $text-success; text-style: bold; }
    """
    HELP = (
        "**A guess.** Choose before the answer is revealed: by the arrows and `enter`, or by the letter of a choice. The "
        "score is kept, beside the number that would be right by chance. Only the first guess at a question counts."
    )
    BINDINGS = [
        Binding("down,j", "move(1)", "Choice", id="guess.down", key_display="↑↓", tooltip="The next choice"),
        Binding("up,k", "move(-1)", "Choice above", id="guess.up", show=False, tooltip="The choice above"),
        Binding("enter", "choose", "Guess", id="guess.choose", tooltip="Guess this; then the answer is revealed"),
        *(
            Binding(
                letter, f"choose({at})", f"Guess {letter}", id=f"guess.{letter}", show=False, tooltip=f"Guess choice {letter}"
            )
            for at, letter in enumerate(LETTERS)
        ),
    ]

    @dataclass
    class Revealed(Message):
        """A choice was made, and the answer is in sight."""

        view: GuessView
        question: GuessQuestion

        @property
        def control(self) -> GuessView:
            return self.view

    @dataclass
    class Scored(Message):
        """The guess is recorded. `problem` says why it could not be."""

        view: GuessView
        identity: str
        score: Score
        counts: bool
        problem: str

        @property
        def control(self) -> GuessView:
            return self.view

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.state: GuessState | None = None
        self._source = ""
        self._was_in_sight = False
        self._first_choice = 0
        self._is_recorded = True
        self.border_title = "guess"

    @property
    def is_open(self) -> bool:
        """True while a choice can be made."""
        return self.state is not None and self.state.is_open

    @property
    def is_settled(self) -> bool:
        """True when no guess is being recorded."""
        return self._is_recorded

    def show(self, question: GuessQuestion, source: str, *, was_in_sight: bool = False) -> None:
        """Ask. `source` is the place that the record names; `was_in_sight`: the answer was on screen before."""
        self._source, self._was_in_sight = source, was_in_sight
        note = IN_SIGHT if was_in_sight and question.choices else ""
        self._set(GuessState(question, note=note))
        self.top = 0

    def wait(self) -> None:
        """Show no question until the next one comes."""
        self.state = None
        self.border_title = "guess"
        self.set_lines([[(WAITING, "dim")]])
        self.refresh_bindings()

    def clear(self) -> None:
        """Show no question."""
        self.wait()
        self.set_lines(())

    def _set(self, state: GuessState) -> None:
        self.state = state
        self.border_title = "guess" if state.is_open or not state.question.choices else "guess · answer"
        self._lay_out()
        self.refresh_bindings()

    def _lay_out(self) -> None:
        if self.state is None:
            return
        laid = guess_lines(self.state, self.room, self.window)
        self._first_choice = laid.first_choice
        self.set_lines(laid.lines)
        if self.state.is_open:
            self.show_line(self._first_choice + self.state.cursor)

    def on_resize(self) -> None:
        self._lay_out()
        super().on_resize()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return self.is_open if action in ("choose", "move") else True

    def action_move(self, by: int) -> None:
        if self.state is not None and self.is_open:
            self._set(replace(self.state, cursor=(self.state.cursor + by) % len(self.state.question.choices)))

    def action_choose(self, at: int | None = None) -> None:
        if self.state is None or not self.is_open:
            return
        chosen = self.state.cursor if at is None else at
        if chosen >= len(self.state.question.choices):
            return  # a letter of no choice does nothing, rather than what it means when no guess is open
        self._set(replace(self.state, cursor=chosen, chosen=chosen))
        self.top = 0
        self._is_recorded = False
        self._record(self.state.question, chosen)
        self.post_message(self.Revealed(self, self.state.question))

    def on_click(self, event: events.Click) -> None:
        offset = event.get_content_offset(self)
        if offset is not None and self.state is not None and self.is_open:
            at = offset.y + self.top - self._first_choice
            if 0 <= at < len(self.state.question.choices):
                self.action_choose(at)

    @work(thread=True, group="guess", exit_on_error=True)
    def _record(self, question: GuessQuestion, chosen: int) -> None:
        from lab.core.errors import UserError
        from lab.learner.predictions import counts, read_predictions, record_prediction, score_of
        from lab.runs.home_folder import home

        made = prediction_of(question, chosen, self._source, was_in_sight=self._was_in_sight)
        before, problem = read_predictions(home())
        try:
            record_prediction(home(), made)
        except UserError as error:
            problem = str(error)
        self.post_message(self.Scored(self, question.identity, score_of([*before, made]), counts(before, made), problem))

    @on(Scored)
    def _tell_score(self, message: Scored) -> None:
        if message.view is not self:
            return
        self._is_recorded = True
        if message.problem:
            self.notify(message.problem, severity="warning", markup=False)
        state = self.state
        if state is None or state.chosen is None or state.question.identity != message.identity:
            return
        words = message.score.in_words
        score = " · ".join(filter(None, (words[:1].upper() + words[1:], message.score.recent_in_words)))
        note = state.note or ("" if message.counts else ANSWERED)
        self._set(replace(state, score=score, note=note))


def prediction_of(question: GuessQuestion, chosen: int, source: str, *, was_in_sight: bool) -> LearnerPrediction:
    """The record of a guess, made now."""
    from lab.learner.predictions import LearnerPrediction

    return LearnerPrediction(
        time=time.time(),
        kind=question.kind,
        question=question.question,
        choices=tuple(choice.label for choice in question.choices),
        chosen=chosen,
        right=question.right,
        source=source,
        run=question.run,
        identity=question.identity,
        was_in_sight=was_in_sight,
    )
