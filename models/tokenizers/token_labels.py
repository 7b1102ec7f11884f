"""Labels of tokens for a terminal: spaces, control characters and broken bytes made visible."""

import unicodedata

NO_TOKEN = "(no token)"
"""Label of an id that has no token: a row that pads the embedding of an imported model."""

_SIGNS = {"\t": "⇥", "\x7f": "␡"}


def with_spaces(token: bytes) -> str:
    """The label of `printable` with every space as "␣": for tokens that differ by one."""
    return printable(token).replace(" ", "␣")


def printable(token: bytes) -> str:
    """Label of a token's bytes on one line, whatever they are; never empty, and never an escape sequence.

    Spaces stay as they are beside something visible (" fast") and are "␣" in a token of spaces alone. "␊" is the newline, "⇥" the
    tab, "␀" to "␡" the other control characters. A character that is invisible or acts on its neighbours (zero-width, direction,
    variation, exotic spaces) is written as \\u200b, a byte that is part of no whole character as \\xe2, and a combining mark that
    has nothing to sit on gets "◌".
    """
    text = token.decode("utf-8", "surrogateescape")
    if not text.strip(" "):
        return "␣" * len(text)
    shown = ""
    for character in text:
        varies = "\ufe00" <= character <= "\ufe0f" or "\U000e0100" <= character <= "\U000e01ef"  # the one before it
        sign = character if character.isprintable() and not varies else spelled_out(character)
        if sign == character and unicodedata.category(character).startswith("M") and (not shown or shown.endswith(" ")):
            sign = "◌" + character
        shown += sign
    return shown


def spelled_out(character: str) -> str:
    """Replacement for a character that cannot be shown: ␊, ⇥, ␛, \\xe2 for a byte that is no text (PEP 383), \\u200b."""
    code = ord(character)
    if character in _SIGNS:
        return _SIGNS[character]
    if code < 0x20:
        return chr(0x2400 + code)
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"
