"""Views without drawings: in words each number has its name; a notebook's HTML and Markdown hold no tag of a text's own."""

import re
from html.parser import HTMLParser

import numpy as np
import pytest

from lab.api import open_model, view
from lab.core.errors import UserError
from lab.inspect.stages.stage_registry import STAGES
from lab.views.blocks import Array, Cell, Column, Matrix, Paragraph, Table, View
from lab.views.written_view import Shown, in_words
from tests.fixture_types import Call

EVIL = "<script>alert(1)</script>|`a`\u202e"


def test_every_row_of_a_table_and_a_matrix_names_its_numbers() -> None:
    table = Table([Column("key"), Column("exp"), Column("softmax")], [[Cell("The"), Cell("1.0"), Cell("40%", bar=0.4)]], "keys")
    matrix = Matrix("pattern", ["The", "dog"], ["The", "dog"], Array.of(np.array([[1, np.nan], [0.25, 0.75]])))
    assert list(in_words(View("scores", "head 1", "It looks back.", [table, Paragraph("│ a note"), matrix]))) == [
        "head 1.",
        "It looks back.",
        "keys:",
        "key The: exp 1.0; softmax 40%.",
        "a note",
        "pattern:",
        "The: The 1.00; dog masked.",
        "dog: The 0.250; dog 0.750.",
    ]


@pytest.mark.parametrize("stage", STAGES)
def test_every_page_of_inspect_is_written_without_a_drawing(stage: str) -> None:
    shown = view(open_model("demo"), "The big dog", stage, layer=2)
    lines = str(shown).split("\n")
    assert len(lines) > 2
    assert not re.search(r"[\u2500-\u259f\u2800-\u28ff\x1b]", "".join(lines))
    assert shown._repr_html_().count("<table>") == shown._repr_markdown_().count("| --- |\n")


class Tags(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.found.add(tag)


def test_a_texts_own_tags_are_shown_and_not_read() -> None:
    shown = Shown(View("tokens", EVIL, EVIL, [Paragraph(EVIL), Table([Column(EVIL)], [[Cell(EVIL)]], EVIL)]))
    page, markdown = shown._repr_html_(), shown._repr_markdown_()
    assert Tags(page).found == {"div", "style", "p", "table", "tr", "th", "td"}
    assert "prefers-color-scheme: dark" in page
    assert not re.search(r"https?:|src=|url\(", page)
    assert "<script" not in markdown
    assert r"\|\`a\`" in markdown
    assert "\u202e" not in page + markdown


def test_a_place_that_there_is_not_is_a_sentence() -> None:
    with pytest.raises(UserError, match="no layer 5: demo has 4"):
        view(open_model("demo"), "The", layer=5)


def test_the_command_reads_a_page_aloud(llmlab: Call) -> None:
    done = llmlab("trace", "demo", "-p", "The big dog", "--plain", "--stage", "scores", "--layer", "2", "--head", "1")
    assert re.search(r"^key \d+ he: q·k −[\d.]+; .*softmax 47\.6%\.$", done.out, re.MULTILINE)
    assert "token named: logit" in llmlab("trace", "demo", "-p", "The big dog", "--plain").out
    llmlab("trace", "demo", "-p", "The", "--plain", "--json").assert_mistake("--plain")
