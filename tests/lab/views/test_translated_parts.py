"""Views in another language: their words are translated, tokens and numbers stay."""

from collections.abc import Iterator
from typing import Any

import pytest

from lab.core.translation import ENGLISH, use_language
from lab.engine.method_registry import ViewParams
from lab.inspect.stages.stage_registry import STAGES
from lab.views.blocks import Array, Cell, Column, Matrix, Table, View
from lab.views.number_explanation import Explanation, Operand, explanation_view
from lab.views.translated_parts import translated_parts, translated_title
from tests.lab.engine.conftest import PROMPT, InProcessEngine, _one_thread, shared_engine, shared_tiny

__all__ = ["_one_thread"]

tiny, engine = shared_tiny, shared_engine


@pytest.fixture(params=["de", "zh"])
def language(request: pytest.FixtureRequest) -> Iterator[str]:
    use_language(request.param)
    yield request.param
    use_language(ENGLISH)


def test_every_stage_has_its_sentence_and_its_titles_in_the_language(language: str, tiny: Any, engine: InProcessEngine) -> None:
    for stage in STAGES:
        for position in (1, None):
            view = engine.view(ViewParams(run="tiny", text=PROMPT, stage=stage, layer=0, position=position))
            own = translated_parts(view)
            assert own.sentence != view.sentence, (stage, view.sentence)
            assert own.title != view.title or stage == "ln1", (stage, view.title)
            titles = [block.title for block in view.blocks if isinstance(block, Table) and "×" not in block.title]
            assert not {title for title in titles if title} & {b.title for b in own.blocks if isinstance(b, Table)}, stage


def test_words_of_a_table_are_translated_and_its_tokens_stay() -> None:
    table = Table(
        [Column("after", align="left"), Column("norm")],
        [[Cell("bias"), Cell("1", 1.0)], [Cell("3 others", style="dim"), Cell("never", style="dim")], [Cell(" bias"), Cell("2")]],
        total=[Cell("all"), Cell("3")],
    )
    use_language("de")
    try:
        own = translated_parts(table)
    finally:
        use_language(ENGLISH)
    assert [each.title for each in own.columns] == ["nach …", "Norm"]
    assert [row[0].text for row in own.rows] == ["bias", "3 andere", " bias"]
    assert own.rows[1][1].text == "nie"
    assert own.total is not None
    assert own.total[0].text == "alle"
    assert translated_parts(table) is table


def test_tokens_with_their_places_and_texts_stay() -> None:
    """Even where one reads like words of the lab, such as “10 steps”, the token after nine others."""
    attention = Table(
        [Column("key", align="left"), Column("score")],
        [
            [Cell("10 steps"), Cell("1.0", 1.0)],
            [Cell("steps", style="masked"), Cell("masked", style="masked")],
            [Cell("3 other keys", style="dim"), Cell("")],
        ],
    )
    batch = Table(
        [Column("hardest token", align="left"), Column("begins", align="left")],
        [[Cell("layer 2.31"), Cell("step 3", style="dim")]],
    )
    path = Table([Column(""), Column("")], [[Cell("→ text"), Cell("The next page")], [Cell("→ logits"), Cell("2 layers")]])
    pattern = Matrix("pattern", ["10 steps", "11 steps"], ["10 steps", "11 steps"], Array((2, 2), bytes(16)))
    use_language("de")
    try:
        rows = [[cell.text for cell in row] for table in (attention, batch, path) for row in translated_parts(table).rows]
        labels = translated_parts(pattern).row_labels
    finally:
        use_language(ENGLISH)
    assert rows == [
        ["10 steps", "1.0"],
        ["steps", "maskiert"],
        ["3 andere Keys", ""],
        ["layer 2.31", "step 3"],
        ["→ Text", "The next page"],
        ["→ Logits", "2 Schichten"],
    ]
    assert labels == pattern.row_labels


@pytest.mark.parametrize(
    ("title", "sentence"),
    [
        (
            "attention score, layer 2, head 1, from 4 “, ” to 3 “ = ”",
            "Attention score, layer 2, head 1, from 4 “, ” to 3 “ = ” = 0.250000",  # a half of it is not known
        ),
        (
            "attention score, layer 2, head 1, from 4 “ ran”, to 3 “ dog”",
            "Attention-Score, Schicht 2, Kopf 1, von 4 “ ran”, zu 3 “ dog” = 0.250000",
        ),
        ("a number of another kind, layer 2", "A number of another kind, layer 2 = 0.250000"),
    ],
)
def test_an_explanation_is_translated_phrase_by_phrase_or_not_at_all(title: str, sentence: str) -> None:
    operands = [Operand("score", 0.25, "logits[0,1]"), Operand("query, dimension 5", 0.5, "logits[0,2]")]
    found = Explanation(
        ref="blocks.1.attn.attn_scores[0,3,2]",
        title=title,
        formula="a × b",
        numbers="0.5 × 0.5",
        operands=operands,
        value=0.25,
        recomputed=0.25,
    )
    view = explanation_view(found, [found.ref, found.ref])
    use_language("de")
    try:
        own, heading = translated_parts(view), translated_title(view)
    finally:
        use_language(ENGLISH)
    assert own.sentence == sentence
    assert heading == own.title == "Erklärung · 2 tief: Score › Score"
    table = own.blocks[1]
    assert isinstance(table, Table)
    assert [row[0].text for row in table.rows] == ["Score", "Query, Dimension 5"]


def test_a_view_in_english_is_itself() -> None:
    view = View("tokens", "tokens", "A sentence.", [])
    assert translated_parts(view) is view
    assert translated_title(view) == "tokens"
