"""The kinds of tokenizer, the sizes of the fixed vocabularies, and the error that all tokenizers raise. Imports nothing heavy."""

from typing import Literal

TokenizerKind = Literal["bytes", "bpe", "gpt2"]
TokenKind = Literal["byte", "merge", "special", "unused"]

FIXED_VOCABULARY_SIZES = {"bytes": 256, "gpt2": 50_257}
"""Sizes of the vocabularies that are not learned from the user's text, GPT-2's with its special token. That of bytes has one more
where an end-of-text token stands between documents."""

END_OF_TEXT = "<|endoftext|>"
"""GPT-2's special token, and that between documents in the other vocabularies. An imported one may have more."""


class TokenizerError(ValueError):
    """A vocabulary that cannot be made, read or used as asked; the message is one sentence for the user."""
