"""A prompt's tokens and their names in a view; needs no model."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from models.tokenizers.tokenizer import Tokenizer

MOST_CHARACTERS = 40
"""Of the prompt in a sentence."""


@dataclass(frozen=True)
class PromptTokens:
    """The tokens within the context window, one of them chosen."""

    tokenizer: "Tokenizer"
    ids: list[int]
    position: int
    """0-based within the window."""

    def label(self, index: int) -> str:
        return self.tokenizer.label(self.ids[index])

    def name(self, index: int) -> str:
        """A token as the label of a row: its number, counted from 1, and the token."""
        return f"{index + 1:>{len(str(len(self.ids)))}} {self.label(index)}"

    def quoted(self, index: int) -> str:
        """A token in a sentence; with its number where the prompt has it more than once."""
        twice = self.ids.count(self.ids[index]) > 1
        return f"“{self.label(index)}”{f' (token {index + 1})' if twice else ''}"

    @property
    def text(self) -> str:
        """The prompt up to the chosen token, in a sentence; of a long one the end."""
        words = self.tokenizer.decode(self.ids[: self.position + 1]).replace("\n", "⏎")
        return f"“{words}”" if len(words) <= MOST_CHARACTERS else f"“…{words[-MOST_CHARACTERS:]}”"

    @property
    def here(self) -> str:
        """The chosen token, in a sentence."""
        return self.quoted(self.position)
