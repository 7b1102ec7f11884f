"""Classes of characters: the script of a letter, or what else it is; names of characters that cannot be seen.

Python's `unicodedata` has the general category and the name of each character, not its script. The script of a letter or mark is
read from the beginning of its name ("CYRILLIC SMALL LETTER A"), which is checked in a test for each script.
"""

import unicodedata
from functools import cache

import numpy as np
from numpy.typing import NDArray

from lab.core.visible_text import visible

CODE_POINTS = 0x110000

SCRIPTS = (
    "Latin",
    "Cyrillic",
    "Greek",
    "Han",
    "Hiragana",
    "Katakana",
    "Hangul",
    "Arabic",
    "Hebrew",
    "Devanagari",
    "Bengali",
    "Tamil",
    "Telugu",
    "Thai",
    "Lao",
    "Khmer",
    "Myanmar",
    "Tibetan",
    "Georgian",
    "Armenian",
    "Ethiopic",
)
"""Scripts that are told apart; letters of any other are "other letters"."""
OTHERS = (
    "other letters",
    "combining marks",
    "digits",
    "punctuation",
    "symbols",
    "emoji",
    "spaces",
    "line ends",
    "invisible",
    "private or unassigned",
)
CLASSES = SCRIPTS + OTHERS
CLASS_NUMBER = {name: number for number, name in enumerate(CLASSES)}

UNSPACED = frozenset({"Han", "Hiragana", "Katakana", "Thai", "Lao", "Khmer", "Myanmar", "Tibetan"})
"""Scripts that are written without spaces between words."""

_NAME_STARTS = {
    "CJK": "Han",
    "KANGXI": "Han",
    "IDEOGRAPHIC": "Han",
    "HIRAGANA": "Hiragana",
    "KATAKANA": "Katakana",
    "HANGUL": "Hangul",
    **{name.upper(): name for name in SCRIPTS if name not in ("Han", "Hiragana", "Katakana", "Hangul")},
}
_WIDTHS = ("FULLWIDTH", "HALFWIDTH")
_EMOJI_BLOCKS = (
    (0x1F000, 0x1F0FF),
    (0x1F1E6, 0x1F1FF),
    (0x1F300, 0x1F64F),
    (0x1F680, 0x1F6FF),
    (0x1F7E0, 0x1F7EB),
    (0x1F900, 0x1FAFF),
)
"""Blocks of pictographs, mahjong tiles and cards, flags; of the older symbols (2600 to 27BF) all count as symbols."""
_OLD_EMOJI = frozenset(
    "⌚⌛⏩⏪⏫⏬⏰⏳☔☕♈♉♊♋♌♍♎♏♐♑♒♓♿⚓⚡⚪⚫⚽⚾⛄⛅⛎⛔⛪⛲⛳⛵⛺⛽✅✊✋✨❌❎❓❔❕❗❤➕➖➗➰➿⬛⬜⭐⭕"
)
"""Older symbols that are drawn as emoji by default (Emoji_Presentation), and the red heart."""

_CONTROL_NAMES = {
    "\0": "NUL",
    "\t": "tab",
    "\n": "newline",
    "\v": "vertical tab",
    "\f": "form feed",
    "\r": "carriage return",
    "\x1b": "escape",
    "\x7f": "delete",
    " ": "space",
    "\x85": "next line",
    "\N{NO-BREAK SPACE}": "no-break space",
}


def class_of(character: str) -> str:
    """The class of a character, one of `CLASSES`."""
    category = unicodedata.category(character)
    if character in "\n\r\v\f\x85\u2028\u2029":
        return "line ends"
    if category[0] == "L" or category[0] == "M":
        return _script(character) or ("combining marks" if category[0] == "M" else "other letters")
    if category == "Zs" or character == "\t":
        return "spaces"
    if category in ("Cc", "Cf"):
        return "invisible"
    if category[0] == "C":
        return "private or unassigned"
    if category[0] == "N":
        return _script(character) or "digits" if category == "Nl" else "digits"
    if category[0] == "P":
        return "punctuation"
    is_emoji = character in _OLD_EMOJI or any(first <= ord(character) <= last for first, last in _EMOJI_BLOCKS)
    return "emoji" if is_emoji else "symbols"


def _script(character: str) -> str:
    words = unicodedata.name(character, "").split(" ", 2)
    word = words[1] if words[0] in _WIDTHS and len(words) > 1 else words[0]
    return _NAME_STARTS.get(word.partition("-")[0], "")


def character_name(character: str) -> str:
    """The name of a character, in lower case: `newline`, `zero width joiner`, `latin small letter a`."""
    known = _CONTROL_NAMES.get(character)
    return known or unicodedata.name(character, "").lower() or f"unnamed, U+{ord(character):04X}"


def character_label(character: str) -> str:
    """A character as it is shown: itself, a visible stand-in, or where it has no shape of its own its code point."""
    if character == " ":
        return "␣"
    category = unicodedata.category(character)
    if category[0] == "M":
        return "◌" + character
    if category in ("Zs", "Cn", "Co", "Cs", "Cf") or (category == "Zl" or category == "Zp"):
        return f"U+{ord(character):04X}"
    return visible(character)


class CharacterTables:
    """Class, lower case and "belongs to a word" of code points, looked up for whole arrays; filled in as characters appear."""

    def __init__(self) -> None:
        self.classes: NDArray[np.uint8] = np.zeros(CODE_POINTS, np.uint8)
        self.lower: NDArray[np.uint32] = np.arange(CODE_POINTS, dtype=np.uint32)
        self.in_word: NDArray[np.bool_] = np.zeros(CODE_POINTS, np.bool_)
        """True for letters and marks of scripts that put spaces between words."""
        self.is_space: NDArray[np.bool_] = np.zeros(CODE_POINTS, np.bool_)
        """True for what `str.split` splits at."""
        self._known: NDArray[np.bool_] = np.zeros(CODE_POINTS, np.bool_)

    @property
    def known(self) -> NDArray[np.intp]:
        """The code points that the tables hold, in order."""
        return np.flatnonzero(self._known)

    def learn(self, codes: NDArray[np.intp]) -> None:
        """Fill in the tables for these distinct code points."""
        for code in codes[~self._known[codes]].tolist():
            self.classes[code], self.lower[code], self.in_word[code], self.is_space[code] = _facts_of(code)
            self._known[code] = True


@cache
def _facts_of(code: int) -> tuple[int, int, bool, bool]:
    character = chr(code)
    name = class_of(character)
    lower = character.lower()
    is_letter = unicodedata.category(character)[0] in "LM"
    return CLASS_NUMBER[name], ord(lower) if len(lower) == 1 else code, is_letter and name not in UNSPACED, character.isspace()
