"""The view of a funnel: its rows against the funnel's own steps."""

from pathlib import Path

from lab.data.cleaning.measure_funnel import funnel_view, measure_funnel
from lab.data.cleaning.rule_registry import BY_NAME
from lab.views.blocks import Paragraph, Table

PARAGRAPH = "The big dog ran to the old house and slept there until the next morning came with rain,\nand then it ran home again."


def table_of(blocks: list[object]) -> Table:
    found = blocks[0]
    assert isinstance(found, Table)
    return found


def test_rules_that_changed_the_text_have_rows_between_the_raw_and_the_kept_text(tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text(f"{PARAGRAPH}\n\n{PARAGRAPH}\n\nOther words.\n")
    funnel = measure_funnel(str(text), rules=tuple(BY_NAME))
    view, rules = funnel_view(funnel, (), "text.txt")
    assert rules[0] == rules[-1] == ""
    assert "duplicate-paragraphs" in rules
    table = table_of(list(view.blocks))
    assert len(table.rows) == len(rules)
    for rule, row in zip(rules[1:-1], table.rows[1:-1], strict=True):
        step = next(step for step in funnel.steps if step.rule == rule)
        assert row[2].value == step.bytes_out
    assert table.rows[0][2].value == text.stat().st_size
    assert table.rows[-1][2].value == funnel.kept_bytes
    said = [block.text for block in view.blocks if isinstance(block, Paragraph)]
    assert said[0] == f"{len(BY_NAME) - len(rules) + 2} other rules on: nothing changed."
    assert said[1].startswith("Taken by “duplicate paragraphs”: The big dog")


def test_a_rule_that_is_left_out_keeps_its_row(tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text("Nothing to clean.\n")
    on = tuple(name for name in BY_NAME if name != "emails")
    view, rules = funnel_view(measure_funnel(str(text), rules=on), {"emails"}, "text.txt")
    assert rules == ["", "emails", ""]
    assert table_of(list(view.blocks)).rows[1][1].text == "off"
    assert "100%" in view.sentence


def test_a_text_of_which_nothing_is_left_is_told_so(tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text("Home\nAbout\nContact\nLogin\nCart\nSearch\n")
    view, _ = funnel_view(measure_funnel(str(text), rules=("short-lines",)), (), "text.txt")
    assert view.sentence.startswith("Cleaning leaves nothing of this text: short-lines takes the most")
