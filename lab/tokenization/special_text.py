"""Plain text that looks like a special token: both ways to read it."""

from typing import TYPE_CHECKING

from models.tokenizers.tokenizer_kinds import END_OF_TEXT

if TYPE_CHECKING:
    from models.tokenizers.tokenizer import Tokenizer


def special_sentence(tokenizer: "Tokenizer", text: str, special: bool) -> str:
    """Sentence on the first text of a special token: its reading here, and the other one; empty if there is none.

    `special` says that it is read as the special token, where the tokenizer has it.
    """
    found = min((each for each in tokenizer.special if each in text), key=text.index, default="")
    if not found:
        return f'"{END_OF_TEXT}" is plain text: this tokenizer has no special token.' if END_OF_TEXT in text else ""
    plain = tokenizer.encode(found)
    pieces = " ".join(tokenizer.label(id) for id in plain)
    if special:
        return (
            f'"{found}" is read as the special token {tokenizer.special[found]}, one token that plain text never gives. '
            f"As plain text: {len(plain)} tokens, {pieces}."
        )
    return (
        f'"{found}" is read as plain text, as all text that is trained on or typed: {len(plain)} tokens, {pieces}. '
        f"The special token would be one: {tokenizer.special[found]}."
    )
