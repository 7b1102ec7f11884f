"""The base class of the pages that follow the text in the box."""

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any

from textual import on, work
from textual.message import Message
from textual.widget import Widget

from screens.tokens.tokens_page import TokensPage

LARGEST_AT_ONCE = 2_000
"""Characters that are tokenized before a key is painted; more, such as a paste, are left to a thread."""
LONGEST_WORD_AT_ONCE = 25_000
"""The same where the text has become one character longer or shorter: a key in a word of thousands of letters, all of which are
tokenized again, in 10 ms at most. A thread's answer would be painted a frame after the key."""


class TextPage(TokensPage):
    """After a key the few words around it are tokenized at once; a paste in a thread, where only the newest text waits."""

    TAKES_TEXT = True

    @dataclass
    class Answered(Message):
        """The text of that number has been tokenized."""

        number: int
        result: Any

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._number = 0
        self._answered = 0
        self._busy = False
        self._length = 0
        """Characters of the text asked for before."""

    @abstractmethod
    def job(self) -> Any:
        """Everything that the answer depends on but the text; None while there is nothing to do."""

    @abstractmethod
    def size_of(self, text: str, job: Any) -> int:
        """Characters that have to be tokenized for this text."""

    @abstractmethod
    def answer(self, text: str, job: Any) -> Any:
        """Tokenize. Called in a thread or not: it touches no widget."""

    @abstractmethod
    def show_answer(self, result: Any) -> None:
        """Show it."""

    @property
    def is_settled(self) -> bool:
        return not self._busy and self._answered == self._number

    def watch_text(self) -> None:
        self.ask()

    def watch_is_shown(self) -> None:
        self.ask()

    def ask(self) -> None:
        """Tokenize the text of now."""
        job = self.job() if self.is_shown and self.is_mounted else None
        if job is None:
            return
        self._number += 1
        is_key, self._length = abs(len(self.text) - self._length) == 1, len(self.text)
        if self._busy:
            return
        if self.size_of(self.text, job) <= (LONGEST_WORD_AT_ONCE if is_key else LARGEST_AT_ONCE):
            self._answered = self._number
            self.show_answer(self.answer(self.text, job))
            self._paint_with_the_key()
        else:
            self._busy = True
            self._answer_in_thread(self._number, self.text, job)

    def _paint_with_the_key(self) -> None:
        """Tell the screen at once what has changed: else it paints the text box first, and the tokens a frame later."""
        for widget in self.walk_children(Widget):
            widget._check_refresh()

    @work(thread=True, group="tokenize", exit_on_error=True)
    def _answer_in_thread(self, number: int, text: str, job: Any) -> None:
        self.post_message(self.Answered(number, self.answer(text, job)))

    @on(Answered)
    def _answered_in_thread(self, message: Answered) -> None:
        self._busy = False
        self._answered = message.number
        self.show_answer(message.result)
        if message.number != self._number:
            self.ask()
