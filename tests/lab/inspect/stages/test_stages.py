"""Every number of every view against a second GPT-2 in numpy, the oracle."""

import math
from itertools import product
from typing import Any

import numpy as np
import pytest

from lab.inspect.stages.attention_scores_stage import VERY_WIDE
from lab.inspect.stages.logits_and_sampling_stage import LISTED
from lab.inspect.stages.stage_context import MOST_CHARACTERS, PromptTokens
from lab.inspect.stages.stage_registry import IN_LAYERS
from lab.views.blocks import Matrix, MatrixPanels, Paragraph, StackedStrips, Strip
from lab.views.number_refs import element
from models.tokenizers.tokenizer import Tokenizer
from tests.lab.engine.conftest import PROMPT, InProcessEngine
from tests.lab.inspect.read_views import cells, close, column, make_sink, printed, tables, views


def test_the_prompt_in_a_sentence_ends_at_the_chosen_token_and_begins_late_where_it_is_long() -> None:
    tokenizer = Tokenizer.bytes_()
    short = tokenizer.encode("The big\ndog")
    assert PromptTokens(tokenizer, short, 2).text == "“The”"
    assert PromptTokens(tokenizer, short, len(short) - 1).text == "“The big␊dog”"
    long = tokenizer.encode("x" * 100 + "y" * MOST_CHARACTERS)
    assert PromptTokens(tokenizer, long, len(long) - 1).text == f"“…{'y' * MOST_CHARACTERS}”"


@pytest.mark.parametrize("position", [0, 3, None])
def test_each_part_adds_the_norm_of_its_output(
    position: int | None, make_run: Any, engine: InProcessEngine, oracle_of: Any
) -> None:
    tiny = make_run(seed=2, layers=3, heads=4, width=12, context=12)
    ids = tiny.tokenizer.encode(PROMPT)[-tiny.model.config.context :]
    values = oracle_of(tiny, ids).values
    at = len(ids) - 1 if position is None else position
    steps = engine.lens(position=position).steps
    adding = [step for step in steps if step.added is not None]
    assert [step.stage for step in adding] == ["embed", *["resid_mid", "resid_post"] * 3]
    for step in adding:
        output = {"embed": "resid_pre", "resid_mid": "attn_out", "resid_post": "mlp_out"}[step.stage]
        stream = "resid_pre" if step.stage == "embed" else step.stage
        layer = step.layer or 0
        assert step.added == pytest.approx(float(np.linalg.norm(values[f"blocks.{layer}.{output}"][at])), rel=1e-4)
        assert step.stream == pytest.approx(float(np.linalg.norm(values[f"blocks.{layer}.{stream}"][at])), rel=1e-4)
    logits = next(step for step in steps if step.stage == "logits")
    assert (logits.stream, logits.added) == (adding[-1].stream, None)


SHAPES = [
    {"seed": 1},
    {"seed": 2, "layers": 3, "heads": 4, "width": 12, "context": 12},
    {"seed": 3, "heads": 1, "width": 4, "layers": 1},
]
TOLERANCE = 2e-5
"""Of the scale of a value: fp32 against float64 through three layers."""


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("position", [0, 5, None])
def test_every_named_number_is_the_oracles(
    shape: dict[str, int], position: int | None, make_run: Any, engine: InProcessEngine, oracle_of: Any
) -> None:
    tiny = make_run(**shape)
    ids = tiny.tokenizer.encode(PROMPT)[-tiny.model.config.context :]
    oracle = oracle_of(tiny, ids)
    named = 0
    for asked, view in views(engine, tiny.model.config.layers, tiny.model.config.heads, text=PROMPT, position=position):
        assert view.parity is not None
        assert view.parity.count > 0
        assert view.parity.max_delta < 2e-5, (asked.stage, view.parity)
        for cell in cells(view):
            if not cell.ref or cell.ref.startswith("sample."):
                continue
            assert cell.value is not None
            expected = float(oracle.value(cell.ref))
            assert math.isclose(cell.value, expected, rel_tol=TOLERANCE, abs_tol=TOLERANCE), (asked, cell, expected)
            named += 1
        for block in view.blocks:
            if isinstance(block, Strip | Matrix) and block.ref:
                shown = block.values.numpy()
                expected_values = oracle.value(block.ref)[tuple(slice(0, length) for length in shown.shape)]
                hidden = np.isnan(shown)
                np.testing.assert_allclose(shown[~hidden], expected_values[~hidden], rtol=TOLERANCE, atol=TOLERANCE)
                if isinstance(block, Matrix) and "pattern" in block.ref:
                    assert (expected_values[hidden] == 0).all()
            if isinstance(block, StackedStrips):
                vectors = block.values.numpy()
                for vector, name in zip(vectors, block.refs, strict=True):
                    if name:
                        np.testing.assert_allclose(vector, oracle.value(name), rtol=TOLERANCE, atol=TOLERANCE)
                        named += 1
                last = block.labels[-1]
                if last.startswith("=") and "×" not in last:
                    np.testing.assert_allclose(vectors[:-1].sum(0), vectors[-1], rtol=TOLERANCE, atol=TOLERANCE)
    assert named > 300


def test_every_view_has_its_words_every_text_its_value_and_only_sums_of_others_and_shares_of_all_no_name(
    tiny: Any, engine: InProcessEngine
) -> None:
    for asked, view in views(engine, 2, 2, text=PROMPT, position=6):
        assert view.stage == asked.stage
        assert view.sentence.endswith(".")
        assert view.blocks
        assert view.title
        assert view.title.startswith(f"layer {asked.layer + 1} · " if asked.stage in IN_LAYERS else "")
        for cell in cells(view):
            if cell.value is not None:
                shown, unit = printed(cell)
                assert close(shown, unit, cell.value, 0.5) or cell.text[0] in "<>", (asked.stage, cell)
        for table in tables(view):
            for row in table.rows:
                nameless = [cell for cell in row if cell.value is not None and not cell.ref and cell.style != "dim"]
                assert not nameless or row[0].text in NAMELESS or view.stage == "tokens", (view.stage, row)


NAMELESS = {"variance + 0.00001", "cosine of the two", "bias"}


def test_parity_sees_a_model_that_differs(tiny: Any, engine: InProcessEngine) -> None:
    """If trace and fast path were told different weights, the line would say so."""
    traced = engine.models.traces.trace(engine.models.model("tiny", "best"), tiny.tokenizer.encode(PROMPT))
    for name in traced.fast:
        traced.fast[name] = traced.fast[name] + 0.5
    for stage in ("embed", "ln1", "qkv", "values", "attn_out", "resid_mid", "mlp", "neurons", "ln_final"):
        view = engine.view(stage=stage)
        assert view.parity is not None
        assert view.parity.max_delta == pytest.approx(0.5, abs=1e-3), stage


def test_future_keys_are_masked_and_not_numbers(tiny: Any, engine: InProcessEngine) -> None:
    view = engine.view(stage="scores", position=2)
    (table,) = tables(view)
    future = table.rows[3:]
    assert len(future) == 5
    assert future[-1][0].text == "… 5 more"
    for row in future:
        assert row[-1].text == "masked"
        assert all(cell.value is None for cell in row)
        assert all(cell.style == "masked" for cell in row if cell.text)
    (panels,) = engine.view(stage="matrix").blocks
    assert isinstance(panels, MatrixPanels)
    matrices = panels.matrices
    assert [each.title for each in matrices] == ["q·k", "÷√d + mask", "softmax"]
    upper = np.triu(np.ones((12, 12), dtype=bool), 1)
    assert [bool(np.isnan(each.values.numpy()[upper]).all()) for each in matrices] == [False, True, True]
    assert not np.isnan(matrices[2].values.numpy()[~upper]).any()


def test_head_shares_and_bias_make_the_whole_output(tiny: Any, engine: InProcessEngine) -> None:
    table = tables(engine.view(stage="attn_out"))[0]
    assert [cell.text for cell in column(table, "part")] == ["head 1", "head 2", "bias"]
    assert sum(cell.value or 0 for cell in column(table, "share")) == pytest.approx(1, abs=1e-6)


def test_sentences_name_the_most_attended_key_and_the_sink(tiny: Any, engine: InProcessEngine, oracle_of: Any) -> None:
    ids = tiny.tokenizer.encode(PROMPT)
    pattern = oracle_of(tiny, ids).values["blocks.0.attn.pattern"][1]
    for position in range(1, 12):
        key = int(pattern[position, : position + 1].argmax())
        target = "itself" if key == position else f"“{tiny.tokenizer.label(ids[key])}”"
        view = engine.view(stage="scores", head=1, position=position)
        assert f"pays {100 * pattern[position, key]:.1f}% of its attention to {target}" in view.sentence
    first = engine.view(stage="scores", position=0)
    assert first.sentence == "“The” is the first token: it can attend only to itself (100%)."


def test_where_the_highest_score_is_negative_only_differences_are_said_to_count(
    tiny: Any, engine: InProcessEngine, oracle_of: Any
) -> None:
    values = oracle_of(tiny, tiny.tokenizer.encode(PROMPT)).values
    found = set()
    for layer, head, position in product(range(2), range(2), range(1, 12)):
        highest = values[f"blocks.{layer}.attn.attn_scores"][head, position, : position + 1].max()
        for stage in ("scores", "matrix"):
            said = engine.view(stage=stage, layer=layer, head=head, position=position).sentence
            assert ("Its score is below 0: only differences between scores count." in said) == (highest < 0)
        found.add(bool(highest < 0))
    assert found == {True, False}


def test_a_head_that_rests_on_the_first_token_is_called_a_sink(tiny: Any, engine: InProcessEngine) -> None:
    make_sink(engine.models.model("tiny", "best").model, 0, 5.0)
    view = engine.view(stage="heads")
    table = tables(view)[0]
    assert [cell.text for cell in column(table, "kind")] == ["diffuse", "first-token sink"]
    assert column(table, "bits")[0].text == f"{math.log2(12):.2f}"
    assert view.sentence.endswith("First-token sink: head 2.")
    scores = engine.view(stage="scores", head=1)
    assert scores.sentence.endswith("a first-token sink.")
    alike = engine.view(stage="scores", head=0)
    assert alike.sentence.endswith("pays 8.3% of its attention to “The”, the first token; an even share is 8.3%.")
    assert "sink" not in engine.view(stage="heads", position=1).sentence


def test_a_very_wide_screen_shows_the_tokens_way_through_the_model_too(tiny: Any, engine: InProcessEngine) -> None:
    views = [engine.view(stage="tokens", width_hint=width) for width in (VERY_WIDE - 1, VERY_WIDE)]
    narrow, wide = (view.blocks for view in views)
    assert wide[: len(narrow)] == narrow
    assert wide[len(narrow) :] == [engine.view(stage="embed").blocks[0], *engine.view(stage="lens").blocks]
    below, (distribution,) = views[1].fill, tables(engine.view(stage="logits"))
    assert views[0].fill is None
    assert [each.title for each in below.columns] == ["token", "logit", "probability"]
    for title in ("token", "logit", "probability"):
        assert column(below, title) == column(distribution, title)[:LISTED]


def test_tokens_show_ids_bytes_and_how_they_were_merged(tiny: Any, engine: InProcessEngine) -> None:
    view = engine.view(stage="tokens", text="The cat", position=0)
    listed, tree = tables(view)
    ids = tiny.tokenizer.encode("The cat")
    assert [cell.text for cell in column(listed, "id")] == [str(id_) for id_ in ids]
    assert bytes.fromhex("".join(cell.text for cell in column(listed, "bytes"))) == b"The cat"
    leaves = [row for row in tree.rows if row[3].text == "byte"]
    assert bytes.fromhex("".join(row[2].text for row in leaves)) == b"The"
    assert view.sentence.startswith("“The” is token 1 of 2: id ")


def test_a_long_prompt_lists_a_window_of_keys_and_says_what_is_left_out(
    make_run: Any, engine: InProcessEngine, oracle_of: Any
) -> None:
    tiny = make_run(context=300)
    text = "The big dog ran. " * 50
    ids = tiny.tokenizer.encode(text)[-300:]
    view = engine.view(stage="scores", text=text)
    (table,) = tables(view)
    assert len(table.rows) == 65
    assert table.rows[-1][0].text == "236 other keys"
    assert sum(row[-1].value or 0 for row in table.rows) == pytest.approx(1, abs=1e-9)
    values = tables(engine.view(stage="values", text=text))[0]
    assert values.rows[-1][0].text == "236 other keys"
    assert values.total is not None
    for index in range(3, 7):
        assert close(*printed(values.total[index]), sum(printed(row[index])[0] for row in values.rows))
    matrix = engine.view(stage="matrix", text=text, position=150)
    panels = matrix.blocks[0]
    assert isinstance(panels, MatrixPanels)
    block = panels.matrices[panels.largest]
    assert block.values.shape == (64, 64)
    assert block.ref == "blocks.0.attn.pattern[0,118:,118:]"
    pattern = oracle_of(tiny, ids).values["blocks.0.attn.pattern"]
    assert block.values.numpy()[40, 3] == pytest.approx(pattern[0, 158, 121], abs=1e-6)
    assert element(block.ref, 40, 3) == "blocks.0.attn.pattern[0,158,121]"
    assert "tokens 119 to 182 of 300" in matrix.sentence
    tokens = engine.view(stage="tokens", text=text)
    assert any(isinstance(each, Paragraph) and "101 to 300 of 300" in each.text for each in tokens.blocks)
