"""Make text from outside safe to show: escape control characters and invisible ones, quote and shorten."""

import functools
import re

from models.tokenizers.token_labels import spelled_out

_HIDDEN = (
    "\\x00-\\x1f\\x7f-\\x9f"  # controls: C0, DEL, C1
    "\\ud800-\\udfff"  # halves of a character, and bytes that are no text (PEP 383)
    "\\u061c\\u200e\\u200f\\u202a-\\u202e\\u2066-\\u206f"  # what turns the direction of writing
    "\\u200b-\\u200d\\u2060-\\u2065\\ufeff"  # zero-width spaces and joiners, byte order mark
    "\\u2028\\u2029"  # separators of lines and paragraphs
    "\\ufe00-\\ufe0f\\U000e0000-\\U000e0fff"  # variation selectors, tags
    "\\xad\\u034f\\u115f\\u1160\\u17b4\\u17b5\\u180b-\\u180f\\u3164\\uffa0\\ufff0-\\ufffb"  # fillers and other invisible ones
    "\\U00013430-\\U0001345f\\U0001bca0-\\U0001bca3\\U0001d173-\\U0001d17a"  # layout of hieroglyphs, shorthand and music
)
_EMOJI = "\\u00a9\\u00ae\\u203c-\\u3299\\U0001f000-\\U0001faff"
_JOINING = "\\u0600-\\u08ff\\u0900-\\u0dff\\ufb50-\\ufdff\\ufe70-\\ufefe"
"""Scripts that are written with joiners: Arabic, those of India."""

_INKLESS = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u3164\uffa0").union(
    map(chr, (*range(0xFE00, 0xFE10), *range(0x13440, 0x13460), *range(0xE0100, 0xE01F0)))
)
"""Those of them that Python takes for printable, for a quick first look: most texts hold none."""


@functools.cache
def _pattern() -> re.Pattern[str]:
    """The characters that are escaped and, as the group `kept`, those that stay. Compiled at first use: it takes a while."""
    return re.compile(
        # A part that is shown as it is: the group `kept`. It comes before the hidden characters in it are met alone.
        f"(?P<kept>[{_EMOJI}]\\ufe0f?\\u200d(?=[{_EMOJI}])"  # woman + joiner + laptop
        f"|(?<=[\\U0001f3fb-\\U0001f3ff])\\u200d(?=[{_EMOJI}])"
        f"|(?<=[{_JOINING}])[\\u200c\\u200d](?=[{_JOINING}])"
        f"|(?<=[^\\s{_HIDDEN}])[\\ufe00-\\ufe0f]"
        "|(?<=[\\u3400-\\u9fff\\uf900-\\ufaff\\U00020000-\\U0003ffff])[\\U000e0100-\\U000e01ef])"
        f"|[{_HIDDEN}]"
    )


def visible(text: str, keep: str = "") -> str:
    r"""The text with every control character and every invisible one escaped; all others stay as they are.

    Written out as tokens are: newline ␊, tab ⇥, the other controls as Unicode's pictures of them (ESC is ␛), a byte that is no
    text as \x9b, any other character as \u202e. Joiners and variation selectors stay where they belong: in emoji, after a
    character that they vary, between letters of a script that is written with them. The characters of `keep` (such as "\n") stay
    everywhere.

    Only for text to show. A file, a pipe or a model gets the text itself.
    """
    rest = text
    for each in keep:
        rest = rest.replace(each, "")
    if rest.isprintable() and (rest.isascii() or _INKLESS.isdisjoint(rest)):
        return text
    return _pattern().sub(lambda found: found[0] if found["kept"] or found[0] in keep else spelled_out(found[0]), text)


def visible_json(text: str, *, ascii_only: bool = False) -> str:
    """JSON with the characters that `visible` writes out as JSON's own escapes: another spelling of the same data.

    With `ascii_only`, every character that is not ASCII.
    """
    if ascii_only:
        return re.sub("[^\n -~]", lambda found: _json_escape(found[0]), text)
    return _pattern().sub(lambda found: found[0] if found["kept"] or found[0] == "\n" else _json_escape(found[0]), text)


def _json_escape(character: str) -> str:
    units = character.encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4))


def without_hidden(text: str) -> str:
    """The text without the characters that `visible` escapes, for a place with no room for more cells."""
    return _pattern().sub(lambda found: found[0] if found["kept"] else "", text)


def quoted(text: str, most: int = 80) -> str:
    """Text from outside within a sentence: in quotes, odd characters escaped, and cut where it is long."""
    return repr(text) if len(text) <= most else f"{shortened(text, most)!r} ({len(text):,} characters)"


def shortened(text: str, most: int = 80) -> str:
    """The text, or its beginning and end where it is longer than `most` characters."""
    return text if len(text) <= most else f"{text[: most - 20]}…{text[-19:]}"
