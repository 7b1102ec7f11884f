"""The kinds of tokenizer, the sizes of the fixed vocabularies, and the error that all tokenizers raise. Imports nothing heavy."""

from typing import Literal

TokenizerKind = Literal["bytes", "bpe", "gpt2"]

FIXED_VOCABULARY_SIZES = {"bytes": 256, "gpt2": 50_257}
"""Sizes of the vocabularies that are not learned from the user's text, special tokens included."""

END_OF_TEXT = "<|endoftext|>"
"""GPT-2's only special token."""


class TokenizerError(ValueError):
    """A vocabulary that cannot be made, read or used as asked; the message is one sentence for the user."""
