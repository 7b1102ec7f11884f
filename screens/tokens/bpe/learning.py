"""Texts to learn BPE from, read in a thread."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from textual.message import Message

from screens.background import in_thread, paced
from screens.tokens.tokens_page import TokensPage

if TYPE_CHECKING:
    from lab.tokenization.bpe_session import BpeSession


Source = Literal["text", "run", "box"]
"""The text in use, the text of the current run, or what is typed into the text box."""


class BpeLearning(TokensPage):
    """A page that reads a text to learn from; `wanted` is the number of the newest text asked for."""

    wanted = 0

    @dataclass
    class Reading(Message):
        """The share of the text that has been read."""

        number: int
        share: float

    async def read_text(
        self, source: Source, name: str, encoding: str, cleaning: tuple[str, ...], text: str
    ) -> tuple[BpeSession, tuple[bytes, ...]]:
        """Count the words of a text: the session, and the vocabulary that the run learned from it. Raises: UserError."""
        number = self.wanted
        report = paced(lambda share: self.post_message(self.Reading(number, share)))

        def read() -> tuple[BpeSession, tuple[bytes, ...]]:
            from lab.tokenization.bpe_session import BpeSession
            from lab.tokenization.learnable_text import read_run_text, read_training_part, whole_text

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
