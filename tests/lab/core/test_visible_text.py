"""Characters that a terminal acts on, or that nobody sees, against Unicode's own table of what each character is."""

import json
import sys
import unicodedata

import pytest

from lab.core.visible_text import visible, visible_json

SHOWN_FORMATS = {0x70F, 0x890, 0x891, 0x8E2, 0x6DD, 0x110BD, 0x110CD, *range(0x600, 0x606)}
"""Signs of Arabic, Syriac and Kaithi that Unicode counts as formats although they are ink on paper."""

INVISIBLE_LETTERS_AND_MARKS = {0x34F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x180B, 0x180C, 0x180D, 0x180F, 0x3164, 0xFFA0}
"""Unicode's Default_Ignorable_Code_Point among letters and marks, variation selectors aside."""


def test_every_character_alone() -> None:
    wrong = []
    rare = range(0x30000, 0xE0000)  # three Chinese blocks, and planes without any character
    for code in (*range(rare.start), *rare[::61], *range(rare.stop, sys.maxunicode + 1, 3)):
        character, kind, shown = chr(code), unicodedata.category(chr(code)), visible(chr(code))
        selector = 0xFE00 <= code <= 0xFE0F or 0xE0100 <= code <= 0xE01EF
        hidden = kind in ("Cc", "Cs", "Zl", "Zp") or (kind == "Cf" and code not in SHOWN_FORMATS)
        hidden = hidden or selector or code in INVISIBLE_LETTERS_AND_MARKS
        # Not yet assigned ones in these ranges are kept invisible by Unicode for what comes.
        may_be_either = kind == "Cn" or 0x13440 <= code <= 0x1345F
        can_be_shown = shown == character or (shown.isprintable() and visible(shown) == shown)
        if not can_be_shown or ((shown != character) != hidden and not may_be_either):
            wrong.append(hex(code))
    assert wrong == []


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b]0;owned\x07", "␛]0;owned␇"),
        ("\x9b2J\x9d0;owned\x9c", r"\u009b2J\u009d0;owned\u009c"),
        (b"\x9b2J".decode("utf-8", "surrogateescape"), r"\x9b2J"),
        ("txt.\u202eexe", r"txt.\u202eexe"),
        ("a\u200bb\ufeff", r"a\u200bb\ufeff"),
        ("a\u2028b\u2029", r"a\u2028b\u2029"),
        ("\U000e0041\U000e007f", r"\U000e0041\U000e007f"),
        ("\ud83d", r"\ud83d"),
        ("one\ntwo\tthree\r\x7f", "one␊two⇥three␍␡"),
        ("pass\u200dword", r"pass\u200dword"),
        ("a\ufe0f\ufe0f", "a\ufe0f" + r"\ufe0f"),
        ("\U0001f600\U000e0100", "\U0001f600" + r"\U000e0100"),
    ],
)
def test_payloads(text: str, shown: str) -> None:
    assert visible(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        "Ünïcödé, e\u0301, ﬁ, Ελλάδα, кириллица, עברית, العربية",
        "漢字かな交じり文\u3000한국어",
        "葛\U000e0100飾区",
        "می\u200cخواهم",
        "क्\u200dष",
        "\U0001f469\u200d\U0001f4bb \U0001f469\U0001f3fd\u200d\U0001f4bb",
        "\U0001f468\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466",
        "\U0001f3f3\ufe0f\u200d\U0001f308 \u2764\ufe0f\u200d\U0001f525 1\ufe0f\u20e3 \u2602\ufe0e",
        "\U0001f1e9\U0001f1ea",
        "10\u00a0000 \u2009m",
        "",
    ],
)
def test_what_people_write_stays_and_what_is_to_be_kept(text: str) -> None:
    assert visible(text) == text
    assert visible(f"{text}\n\tb\x1b", keep="\n") == f"{text}\n⇥b␛"
    assert visible(f"{text}\n\tb\x1b", keep="\n\t") == f"{text}\n\tb␛"


@pytest.mark.parametrize("ascii_only", [False, True])
def test_json_is_the_same_data(ascii_only: bool) -> None:
    data = {"na\x7fme": "\x1b[2J \x9b \u202e \U000e0041 \u2028 \ud800 é → 犬 \U0001f469\u200d\U0001f4bb plain"}
    text = json.dumps(data, ensure_ascii=False, indent=2)
    shown = visible_json(text, ascii_only=ascii_only)
    assert json.loads(shown) == data
    assert shown.count("\n") == text.count("\n")
    assert visible(shown, keep="\n") == shown
    assert shown.isascii() is ascii_only
    assert ("é → 犬 \U0001f469\u200d\U0001f4bb" in shown) is not ascii_only
