"""Texts to learn BPE from, read in a thread, and the line that names them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from rich.cells import cell_len
from textual import on
from textual.message import Message
from textual.worker import get_current_worker

from screens.background import in_thread
from screens.tokens.tokens_page import TokensPage
from screens.widgets.status_line import StatusLine

if TYPE_CHECKING:
    from lab.tokenization.bpe.bpe_session import BpeSession


Source = Literal["text", "run", "box"]
"""The text in use, the text of the current run, or what is typed into the text box."""


class BpeLearning(TokensPage):
    """A page that learns; `wanted` is the number of the newest text asked for."""

    wanted = 0

    @dataclass
    class Reading(Message):
        """The share of the text that has been read."""

        number: int
        share: float

    async def read_text(
        self, source: Source, name: str, encoding: str, cleaning: tuple[str, ...], text: str
    ) -> tuple[BpeSession, tuple[bytes, ...]]:
        """Count the words of a text, in background work: `name` is that of the source or the run, `text` what is in the box.

        Returns the session and the vocabulary that the run learned from the text. Raises: UserError.
        """
        number, worker, shown = self.wanted, get_current_worker(), 0.0

        def report(share: float) -> None:
            nonlocal shown
            if worker.is_cancelled:
                raise asyncio.CancelledError
            if share >= shown + 0.01:
                shown = share
                self.post_message(self.Reading(number, share))

        def read() -> tuple[BpeSession, tuple[bytes, ...]]:
            from lab.tokenization.bpe.bpe_session import BpeSession
            from lab.tokenization.bpe.learnable_text import read_run_text, read_training_part, whole_text

            run_tokens: tuple[bytes, ...] = ()
            match source:
                case "text":
                    learnable = read_training_part(name, encoding or None, report, cleaning=cleaning)
                case "run":
                    learnable, run_tokens = read_run_text(name, report)
                case "box":
                    learnable = whole_text("the text in the box", text)
            return BpeSession(learnable), run_tokens

        return await in_thread(read)


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
