import ast
import io
import re
from pathlib import Path

import pytest
from rich.cells import cell_len

from lab.analysis.run_sentence import SIGNS as VERDICT_SIGNS
from lab.core.terminal import MARKS, has_utf8, in_ascii, is_remote, places_text, write_ascii
from lab.lessons.claim import MARKS as CLAIM_SIGNS
from lab.runs.run_summary import PHASES
from screens.blocks.block_layout import (
    AGAINST,
    DOWN,
    EIGHTHS_ACROSS,
    EIGHTHS_UP,
    LEFTWARD,
    MASKED,
    NEGATIVE_SHADES,
    POSITIVE_SHADES,
)
from screens.plot.figure import EVENT_SIGNS, MARK

ROOT = Path(__file__).parents[3]
DRAWN = (range(0x2190, 0x2300), range(0x2500, 0x2600))
"""Unicode's arrows, operators, lines, blocks and shapes."""
PATTERNS = ROOT / "lab" / "data"
"""Strings there are patterns and characters of texts, not what is drawn."""


@pytest.mark.parametrize("text", ["├─ 41.2% ██▌ −0.30 × √d …", "naïve 犬 x", "👩\u200d💻|", "e\u0301|", "🇫🇷|", "⠉⣀⣿⠀|"])
def test_text_keeps_its_width(text: str) -> None:
    shown = in_ascii(text)
    assert shown.isascii()
    assert shown.isprintable()
    assert len(shown) == cell_len(text)


def test_marks_are_one_cell_and_say_the_same_and_a_stream_writes_them() -> None:
    assert all(mark.isascii() and len(mark) == 1 == cell_len(sign) for sign, mark in MARKS.items())
    assert in_ascii("→ −1 × 2 ÷ 3 │ ─ ┌") == "> -1 x 2 / 3 | - +"
    assert in_ascii("✓ ✗ ↓ ⏎ ± ∞") == "+ X v \\ & @"
    assert in_ascii("⠁⠉ ⡀⣀ ⡁ ⣿ ⠀|") == "'' .. : #  |"
    assert in_ascii("犬é") == "???"
    stream = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    write_ascii(stream)
    stream.write("a → é")
    stream.flush()
    assert stream.buffer.getvalue() == b"a > ?"  # type: ignore[attr-defined]


TOGETHER = {
    "phases of runs": "".join(sign for sign, _ in dict(PHASES).values()),
    "verdicts": "".join(VERDICT_SIGNS.values()),
    "claims": "".join(CLAIM_SIGNS.values()),
    "events on a plot, and its marks": "".join(sign for sign, _ in EVENT_SIGNS.values()) + MARK,
    "bars up": EIGHTHS_UP + "┄",
    "bars across": EIGHTHS_ACROSS,
    "bars down": DOWN,
    "bars to the left": LEFTWARD + AGAINST,
    "shades": POSITIVE_SHADES + NEGATIVE_SHADES + MASKED,
    "progress": "━╌",
    "keys": "←→↑↓⏎",
    "tokens": "␊⇥␣·◌␛…⟦⟧",
    "relations": "<>=≠≈",
    "operators": "+−×÷·±=√∂Σ",
    "numbers": "0123456789−∞",
    "checks and directions": "✓✗↑↓→←!?",
    "subscripts": "₀₁₂₃₄₅₆₇₈₉ᵢₖₙ",
    "superscripts": "⁰¹²³⁴⁵⁶⁷⁸⁹",
}
"""Signs that can stand in one place, so that each must be told from the others."""


def test_signs_that_can_stand_in_one_place_have_marks_of_their_own_or_where_none_is_honest_are_unknown() -> None:
    for place, together in TOGETHER.items():
        assert len(set(map(in_ascii, together))) == len(set(together)), place
    for sign in "≤≥␀½":  # `<` for ≤ and `0` for NUL would say something else
        assert in_ascii(sign) == "?"


ESCAPED = re.compile(r"\\[uUN]")


def signs_without_marks(text: str) -> set[str]:
    return {sign for sign in set(text) if any(ord(sign) in block for block in DRAWN)} - MARKS.keys()


def test_every_sign_that_the_lab_draws_has_a_mark() -> None:
    missing = {}
    for path in (*(ROOT / "screens").rglob("*.py"), *(ROOT / "lab").rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        if path.is_relative_to(PATTERNS) or not (ESCAPED.search(text) or signs_without_marks(text)):
            continue
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                signs = signs_without_marks(node.value)
                missing |= dict.fromkeys(signs, f"{path.relative_to(ROOT)}:{node.lineno}")
    assert missing == {}


@pytest.mark.parametrize(
    ("environment", "encoding", "expected"),
    [
        ({}, "utf-8", True),
        ({}, "ascii", False),
        ({"LC_ALL": "POSIX", "LANG": "en_US.UTF-8"}, "utf-8", False),
        ({"LC_ALL": "de_DE.utf8@euro"}, "UTF-8", True),
        ({"LC_CTYPE": "UTF-8"}, "utf-8", True),
        ({"LANG": "en_US.UTF-8"}, "utf-8", True),
        ({"LANG": "en_US"}, "utf-8", False),
        ({"LANG": "C", "LC_CTYPE": "C.UTF-8"}, "utf-8", False),
        ({"LANG": "C", "LC_CTYPE": "en_US.UTF-8"}, "utf-8", True),
        ({"LC_ALL": "C", "PYTHONIOENCODING": "utf-8"}, "utf-8", True),
        ({"LANG": "en_US.UTF-8", "PYTHONIOENCODING": "ascii:strict"}, "ascii", False),
    ],
)
def test_utf8_is_what_the_locale_says(environment: dict[str, str], encoding: str, expected: bool) -> None:
    assert has_utf8(environment, encoding) is expected


def test_dumb_terminals_place_no_text_and_ssh_is_remote() -> None:
    assert [places_text({"TERM": name}) for name in ("dumb", "unknown", "")] == [False] * 3
    assert not places_text({})
    assert all(places_text({"TERM": name}) for name in ("xterm", "screen", "tmux-256color", "linux"))
    assert is_remote({"SSH_CONNECTION": "10.0.0.1 1 10.0.0.2 22"})
    assert is_remote({"SSH_TTY": "/dev/pts/3"})
    assert not is_remote({"SSH_CONNECTION": ""})
