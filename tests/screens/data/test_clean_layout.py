"""The layout of the page Clean: bars, numbers and marks, without a screen."""

from typing import Literal

import pytest

from lab.data.cleaning.funnel_meter import Excerpt, ExcerptSpan, Funnel, ReasonCount
from lab.data.cleaning.rule_registry import BY_NAME, RULES
from lab.runs.run_schema import CleaningStep
from screens.data.clean_layout import RuleState, effect_sentence, excerpt_lines, funnel_bar, funnel_lines, rule_lines
from screens.widgets.piece_lines import PieceLine, wrap_pieces

STEPS = (
    CleaningStep(rule="line-endings", bytes_in=1000, bytes_out=990, before=20, after=10, passages_changed=10),
    CleaningStep(rule="boilerplate", bytes_in=990, bytes_out=500, removed=490, passages_removed=7),
)
REASONS = {"boilerplate": (ReasonCount("cookie notice", 5, 400), ReasonCount("menu", 2, 90))}
FUNNEL = Funnel("web.txt", "utf-8", 1000, 1000, 500, 1, 1, STEPS, reasons=REASONS)


def words(line: PieceLine) -> str:
    return "".join(text for text, _ in line)


def test_the_funnel_has_a_bar_per_rule_and_its_numbers() -> None:
    state = RuleState(frozenset({"line-endings", "boilerplate"}), 0, FUNNEL, True)
    lines = [words(line) for line in funnel_lines(state, 90)]
    assert len(lines) == len(RULES) + 2
    by_rule = dict(zip(("raw", *BY_NAME, "kept"), lines, strict=True))
    assert "1,000 B" in by_rule["raw"] or "1.0 kB" in by_rule["raw"]
    assert "[x] line endings" in by_rule["line-endings"]
    assert "−10 B" in by_rule["line-endings"]
    assert by_rule["line-endings"].endswith("▒")
    assert "−490 B   49.0%" in by_rule["boilerplate"]
    assert "[ ] Unicode" in by_rule["nfc"]
    assert "off" in by_rule["nfc"]
    assert "500 B   50.0%" in by_rule["kept"]
    full, kept = by_rule["raw"].count("█"), by_rule["kept"].count("█")
    assert kept == full / 2 or kept == full // 2
    waiting = [words(line) for line in funnel_lines(RuleState(frozenset({"nfc"}), 0, FUNNEL, False), 90)]
    assert waiting[1 + list(BY_NAME).index("nfc")].rstrip().endswith("…"), "on, and not measured yet"
    text = " ".join(words(line) for line in rule_lines(BY_NAME["boilerplate"], state, 0, 100))
    assert text.startswith("Removed 7 passages (490 B)")
    for part in ("cookie notice 5 · menu 2", "cookie and JavaScript notices", "C4 removes each line"):
        assert part in text


@pytest.mark.parametrize(
    ("kept", "taken", "bar"),
    [(100, 0, "██████████"), (50, 50, "█████▒▒▒▒▒"), (999, 1, "█████████▒"), (0, 10, "▒         "), (0, 0, "          ")],
)
def test_a_bar_is_what_is_left_and_what_was_taken(kept: int, taken: int, bar: str) -> None:
    raw = 1000 if kept == 999 else 100
    assert words(funnel_bar(kept, taken, raw, 10)) == bar


def test_the_effect_is_told_in_one_sentence() -> None:
    assert effect_sentence(STEPS[0], 1000) == "Changed 10 passages (20 B into 10 B): −10 B, 1.0% of the raw text."
    assert effect_sentence(STEPS[1], 1000) == "Removed 7 passages (490 B): −490 B, 49.0% of the raw text."
    emptied = CleaningStep(rule="emails", bytes_in=9, bytes_out=0, removed=9, passages_removed=1, documents_emptied=1)
    assert effect_sentence(emptied, 9).startswith("Removed 1 passage (9 B)")
    assert effect_sentence(emptied, 9).endswith("; 1 document emptied.")
    nothing = CleaningStep(rule="nfc", bytes_in=5, bytes_out=5)
    assert effect_sentence(nothing, 1000) == "Nothing in this text to take or to change."


KEPT_AND_TAKEN: dict[str, list[tuple[str, Literal["kept", "taken", "added"]]]] = {
    "before Write to [−a@b.org−].␊|after  Write to {+email@example.com+}.␊": [
        ("Write to ", "kept"), ("a@b.org", "taken"), ("email@example.com", "added"), (".\n", "kept"),
    ],
    "before [−Accept cookies␊−]|after  nothing": [("Accept cookies\n", "taken")],
    "before …three␊|       ␊|       [−four␊−]|after  …three␊|       ␊": [  # one line before a change
        ("one\ntwo\n", "kept"), ("three\n\n", "kept"), ("four\n", "taken"),
    ],
}  # fmt: skip
"""Lines of a place, and its spans."""


def test_places_are_marked_without_colour_before_and_after() -> None:
    for drawn, spans in KEPT_AND_TAKEN.items():
        lines = excerpt_lines([Excerpt(tuple(ExcerptSpan(*span) for span in spans), 0, "address")], 0, 60)
        assert [words(line) for line in lines] == ["example 1 of 1 · address", *drawn.split("|")]
        taken = [(text.replace("\n", "␊"), kind) for text, kind in spans if kind == "taken"]
        assert [piece for line in lines for piece in line if piece[1] == "taken"] == taken


def test_text_is_wrapped_by_cells_and_its_controls_are_shown() -> None:
    lines = wrap_pieces([("日本語 ab\x1b[31m\r\nnext", "text")], 6)
    assert [words(line) for line in lines] == ["日本語", " ab␛[3", "1m␍␊", "next"]
