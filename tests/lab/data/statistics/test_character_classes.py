"""Classes of characters against characters that are known, and the range of Unicode."""

import sys
import unicodedata

import numpy as np
import pytest

from lab.data.statistics.character_classes import CLASSES, SCRIPTS, CharacterTables, character_label, character_name, class_of

KNOWN = {
    "Latin": "aZßéſꟿＡ",
    "Cyrillic": "жЯїԓ",
    "Greek": "αΩἀ",
    "Han": "中々㐀豈〇",
    "Hiragana": "あゞ",
    "Katakana": "アーｱ",
    "Hangul": "한ㄱ",
    "Arabic": "سپ\ufe8d",
    "Hebrew": "ש\u05b8",
    "Devanagari": "क\u0940",
    "Bengali": "ক",
    "Tamil": "க",
    "Telugu": "క",
    "Thai": "ก\u0e31",
    "Lao": "ກ",
    "Khmer": "ក",
    "Myanmar": "က",
    "Tibetan": "ཀ",
    "Georgian": "აႠ",
    "Armenian": "ա",
    "Ethiopic": "አ",
    "other letters": "𐎀ᚠꦄ",
    "combining marks": "\u0301\u20dd",
    "digits": "0٣½²",
    "punctuation": ".,¿«、—",
    "symbols": "+$€©→☎",
    "emoji": "😀🚀🇩⭐✅❤",
    "spaces": " \t\u00a0\u3000",
    "line ends": "\n\r\u2028",
    "invisible": "\0\x1b\u200b\u200d\u202e\ufeff\xad",
    "private or unassigned": "\ue000\U000e0fff",
}


def test_every_class_has_known_members_and_the_letters_of_basic_blocks() -> None:
    assert set(KNOWN) == set(CLASSES)
    assert [c for name, members in KNOWN.items() for c in members if class_of(c) != name] == []
    blocks = {"Greek": (0x391, 0x3A9), "Cyrillic": (0x410, 0x44F), "Hebrew": (0x5D0, 0x5EA), "Hiragana": (0x3041, 0x3096)}
    blocks |= {"Han": (0x4E00, 0x9FFF), "Hangul": (0xAC00, 0xD7A3), "Thai": (0xE01, 0xE2E), "Latin": (0xC0, 0xD6)}
    for script, (first, last) in blocks.items():
        letters = [chr(code) for code in range(first, last + 1) if unicodedata.category(chr(code))[0] == "L"]
        assert letters
        assert {class_of(letter) for letter in letters} == {script}
    assert set(blocks) <= set(SCRIPTS)


def test_the_tables_agree_with_python_for_all_planes() -> None:
    codes = np.arange(0, sys.maxunicode + 1, 97)
    tables = CharacterTables()
    tables.learn(codes)
    for code in codes.tolist():
        character = chr(code)
        assert CLASSES[tables.classes[code]] == class_of(character)
        assert tables.is_space[code] == character.isspace()
        assert chr(tables.lower[code]) == (character.lower() if len(character.lower()) == 1 else character)


@pytest.mark.parametrize(
    ("character", "label", "name"),
    [
        ("a", "a", "latin small letter a"),
        (" ", "␣", "space"),
        ("\n", "␊", "newline"),
        ("\u200b", "U+200B", "zero width space"),
        ("\u202e", "U+202E", "right-to-left override"),
        ("\u00a0", "U+00A0", "no-break space"),
        ("\0", "␀", "NUL"),
        ("\u0301", "◌\u0301", "combining acute accent"),
        ("\ue000", "U+E000", "unnamed, U+E000"),
    ],
)
def test_characters_that_cannot_be_seen_are_named(character: str, label: str, name: str) -> None:
    assert (character_label(character), character_name(character)) == (label, name)
