"""BPE learned in a thread, in slices short enough that a paint follows each; and the line of texts to learn from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from rich.cells import cell_len
from textual import on, work
from textual.message import Message

from screens.tokens.tokens_page import TokensPage
from screens.widgets.status_line import StatusLine

if TYPE_CHECKING:
    from lab.tokenization.bpe.bpe_session import BpeSession, BpeState


SLICE_SECONDS = 0.06
"""Longest time of merging between two paints."""

Source = Literal["text", "run", "box"]
"""The text in use, the text of the current run, or what is typed into the text box."""


class _OutdatedError(Exception):
    """Another text is wanted, or the page is closed."""


class BpeLearning(TokensPage):
    """A page that learns. A subclass shows what the messages bring; `wanted` is the number of the newest text asked for."""

    @dataclass
    class Opened(Message):
        """The words of the text of that number are counted. `run_tokens` is the vocabulary that the run learned from it."""

        number: int
        session: BpeSession
        run_tokens: tuple[bytes, ...] = ()

    @dataclass
    class NotOpened(Message):
        """The text of that number cannot be learned from, for the reason in the sentence."""

        number: int
        sentence: str

    @dataclass
    class Reading(Message):
        """The share of the text that has been read."""

        number: int
        share: float

    @dataclass
    class Moved(Message):
        """A slice of merges, or of steps back, is done; `left` are still to do."""

        session: BpeSession
        state: BpeState
        left: int

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.wanted = 0

    @work(thread=True, group="bpe-open", exit_on_error=True)
    def open_text(self, number: int, source: Source, name: str, encoding: str, cleaning: tuple[str, ...], text: str) -> None:
        """Count the words of a text: `name` is that of the source or the run, `text` what is in the box."""
        from lab.core.errors import UserError
        from lab.tokenization.bpe.bpe_session import BpeSession
        from lab.tokenization.bpe.learnable_text import read_run_text, read_training_part, whole_text

        shown = 0.0

        def report(share: float) -> None:
            nonlocal shown
            if number != self.wanted or not self.is_attached:
                raise _OutdatedError
            if share >= shown + 0.01:
                shown = share
                self.post_message(self.Reading(number, share))

        run_tokens: tuple[bytes, ...] = ()
        try:
            match source:
                case "text":
                    learnable = read_training_part(name, encoding or None, report, cleaning=cleaning)
                case "run":
                    learnable, run_tokens = read_run_text(name, report)
                case "box":
                    learnable = whole_text("the text in the box", text)
            self.post_message(self.Opened(number, BpeSession(learnable), run_tokens))
        except UserError as error:
            self.post_message(self.NotOpened(number, str(error)))
        except _OutdatedError:
            return

    @work(thread=True, group="bpe-move", exit_on_error=True)
    def move(self, session: BpeSession, steps: int) -> None:
        """Merge, or step back for a negative number, for the time of a slice. Never twice at once for the same session."""
        left = session.move(steps, SLICE_SECONDS)
        self.post_message(self.Moved(session, session.state, left))


CHOOSE = "learn from  "


class SourceLine(StatusLine):
    """`learn from  ‹ text notes.txt ›   run demo's text     the text box`."""

    @dataclass
    class Chosen(Message):
        """A text was clicked on."""

        source: Source

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._words: list[tuple[Source, str]] = []

    def show(self, names: Mapping[Source, str], current: Source | None) -> None:
        """Show these texts by name."""
        self._words = [(source, f"‹ {name} ›" if source == current else f"  {name}  ") for source, name in names.items()]
        self.left = CHOOSE + " ".join(words for _, words in self._words)

    @on(StatusLine.TextClicked)
    def _clicked(self, event: StatusLine.TextClicked) -> None:
        event.stop()
        start = cell_len(CHOOSE)
        for source, words in self._words:
            if start <= event.at < start + cell_len(words):
                self.post_message(self.Chosen(source))
            start += cell_len(words) + 1
