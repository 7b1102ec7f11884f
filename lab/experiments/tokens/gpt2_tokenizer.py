"""GPT-2's own tokenizer, from the files that are on this machine."""

from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from models.tokenizers.tokenizer import Tokenizer


@cache
def gpt2_tokenizer() -> "Tokenizer":
    """GPT-2's tokenizer, read once. Nothing is downloaded: the engine would answer nobody meanwhile.

    Raises:
        TokenizerError: if its files are not on this machine; the message says what to do.
    """
    from models.tokenizers.tokenizer import Tokenizer

    return Tokenizer.gpt2(download=False)
