"""Every number of every view against a second GPT-2 in numpy, the oracle, and every printed row recomputed."""

import dataclasses
import math
from collections.abc import Iterator
from typing import Any

import msgspec
import numpy as np
import pytest
import torch

from lab.engine.method_registry import ViewParams
from lab.inspect.stages.stage_registry import IN_LAYERS, STAGES
from lab.views.blocks import Cell, IntervalBar, Matrix, Paragraph, Strip, Table, View
from lab.views.number_refs import element
from models.sampling_settings import SamplingSettings
from tests.lab.engine.conftest import InProcessEngine

PROMPT = "The big dog ran fast. The cat"
SHAPES = [
    {"seed": 1},
    {"seed": 2, "layers": 3, "heads": 4, "width": 12, "context": 12},
    {"seed": 3, "heads": 1, "width": 4, "layers": 1},
]
TOLERANCE = 2e-5
"""Of the scale of a value: fp32 against float64 through three layers."""


def views(engine: InProcessEngine, layers: int, heads: int, **params: object) -> Iterator[tuple[ViewParams, View]]:
    """Every stage, in every layer, for every head where the head matters."""
    for stage in STAGES:
        for layer in range(layers if stage in IN_LAYERS else 1):
            for head in range(heads if stage in ("qkv", "scores", "matrix", "values", "attn_out") else 1):
                asked = ViewParams(run="tiny", stage=stage, layer=layer, head=head, **params)  # type: ignore[arg-type]
                yield asked, engine.view(asked)


def cells(view: View) -> Iterator[Cell]:
    for block in view.blocks:
        if isinstance(block, Table):
            for row in [*block.rows, *([block.total] if block.total else [])]:
                assert len(row) == len(block.columns)
                yield from row


def printed(cell: Cell) -> tuple[float, float]:
    """The number that a cell shows, and one unit of its last digit. A bound such as <0.001 is 0 give or take its unit."""
    text = cell.text.replace("−", "-")
    percent = text.endswith("%")
    text = text.rstrip("%").replace(",", "")
    if text[0] in "<>":
        edge = float(text[1:])
        low = 100.0 if percent and edge > 50 else 0.0
        number, unit = low, abs(edge - low)
    else:
        mantissa, _, exponent = text.partition("e")
        number = float(text)
        unit = 10.0 ** (int(exponent or 0) - len(mantissa.partition(".")[2]))
    return (number / 100, unit / 100) if percent else (number, unit)


def column(table: Table, title: str, rows: int | None = None) -> list[Cell]:
    index = [each.title for each in table.columns].index(title)
    return [row[index] for row in table.rows[:rows]]


def tables(view: View) -> list[Table]:
    return [block for block in view.blocks if isinstance(block, Table)]


def close(shown: float, unit: float, computed: float, units: float = 1.0) -> bool:
    return abs(shown - computed) <= units * unit * 1.0001 + 1e-12


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("position", [0, 1, 5, None])
def test_every_named_number_is_the_oracles(
    shape: dict[str, int], position: int | None, make_run: Any, engine: InProcessEngine, oracle_of: Any
) -> None:
    tiny = make_run(**shape)
    ids = tiny.tokenizer.encode(PROMPT)[-tiny.model.config.context :]
    oracle = oracle_of(tiny, ids)
    named = 0
    for asked, view in views(engine, tiny.model.config.layers, tiny.model.config.heads, text=PROMPT, position=position):
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
    assert named > 300


def test_numbers_without_a_name_are_only_sums_of_others_and_shares_of_all(tiny: Any, engine: InProcessEngine) -> None:
    for _, view in views(engine, 2, 2, text=PROMPT):
        for table in tables(view):
            for row in table.rows:
                nameless = [cell for cell in row if cell.value is not None and not cell.ref and cell.style != "dim"]
                assert not nameless or row[0].text in NAMELESS or view.stage == "tokens", (view.stage, row)


NAMELESS = {"variance + 0.00001", "cosine of the two", "bias"}


def test_every_text_is_its_value(tiny: Any, engine: InProcessEngine) -> None:
    for asked, view in views(engine, 2, 2, text=PROMPT, position=6):
        for cell in cells(view):
            if cell.value is not None:
                shown, unit = printed(cell)
                assert close(shown, unit, cell.value, 0.5) or cell.text[0] in "<>", (asked.stage, cell)


@pytest.mark.parametrize("stage", STAGES)
def test_every_view_reads_well(stage: str, tiny: Any, engine: InProcessEngine) -> None:
    view = engine.view(ViewParams(run="tiny", stage=stage, layer=1, head=1, text=PROMPT, position=3))
    assert view.stage == stage
    assert view.sentence.endswith(".")
    assert view.title
    assert view.blocks
    if stage in IN_LAYERS:
        assert view.title.startswith("layer 2 · ")
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(view), type=View).title == view.title


@pytest.mark.parametrize("shape", SHAPES)
def test_parity_is_small_everywhere(shape: dict[str, int], make_run: Any, engine: InProcessEngine) -> None:
    tiny = make_run(**shape)
    for asked, view in views(engine, tiny.model.config.layers, tiny.model.config.heads, text=PROMPT):
        assert view.parity is not None
        assert view.parity.count > 0
        assert view.parity.max_delta < 2e-5, (asked.stage, view.parity)


def test_parity_sees_a_model_that_differs(tiny: Any, engine: InProcessEngine) -> None:
    """If trace and fast path were told different weights, the line would say so."""
    traced = engine.models.traces.trace(engine.models.model("tiny", "best"), tiny.tokenizer.encode(PROMPT))
    for name in traced.fast:
        traced.fast[name] = traced.fast[name] + 0.5
    for stage in ("embed", "ln1", "qkv", "values", "attn_out", "resid_mid", "mlp", "neurons", "ln_final"):
        view = engine.view(ViewParams(run="tiny", stage=stage, text=PROMPT))
        assert view.parity is not None
        assert view.parity.max_delta == pytest.approx(0.5, abs=1e-3), stage


@pytest.mark.parametrize("position", [0, 4, 11])
@pytest.mark.parametrize("stage", ["scores", "logits"])
def test_a_printed_softmax_reproduces_itself(stage: str, position: int, tiny: Any, engine: InProcessEngine) -> None:
    for head in range(2):
        view = engine.view(ViewParams(run="tiny", stage=stage, head=head, text=PROMPT, position=position))
        (table,) = tables(view)
        titles = [each.title for each in table.columns]
        rows = [row for row in table.rows if row[-1].text != "masked"]
        exp, share, shift = titles.index("exp"), len(titles) - 1, titles.index("− max")
        score = titles.index("÷√d") if stage == "scores" else titles.index("logit")
        highest = max(printed(row[score])[0] for row in rows if row[score].text)
        total, total_unit = printed(table.total[exp])
        assert close(total, total_unit, sum(printed(row[exp])[0] for row in rows))
        for row in rows:
            shown, unit = printed(row[exp])
            if row[score].text:
                assert close(*printed(row[shift]), printed(row[score])[0] - highest)
                assert close(shown, unit, math.exp(printed(row[shift])[0]))
            if stage == "scores":
                assert close(*printed(row[score]), printed(row[1])[0] / math.sqrt(4))
            assert close(*printed(row[share]), shown / total)


def test_future_keys_are_masked_and_not_numbers(tiny: Any, engine: InProcessEngine) -> None:
    view = engine.view(ViewParams(run="tiny", stage="scores", text=PROMPT, position=2))
    (table,) = tables(view)
    future = table.rows[3:]
    assert len(future) == 5
    assert future[-1][0].text == "… 5 more"
    for row in future:
        assert row[-1].text == "masked"
        assert all(cell.value is None for cell in row)
        assert all(cell.style == "masked" for cell in row if cell.text)
    matrices = [
        block for block in engine.view(ViewParams(run="tiny", stage="matrix", text=PROMPT)).blocks if isinstance(block, Matrix)
    ]
    upper = np.triu(np.ones((12, 12), dtype=bool), 1)
    assert [bool(np.isnan(each.values.numpy()[upper]).all()) for each in matrices] == [False, True, True]
    assert not np.isnan(matrices[2].values.numpy()[~upper]).any()


@pytest.mark.parametrize("stage", ["qkv", "mlp"])
def test_a_printed_dot_product_reproduces_itself(stage: str, tiny: Any, engine: InProcessEngine) -> None:
    found = 0
    for position in range(12):
        for table in tables(engine.view(ViewParams(run="tiny", stage=stage, text=PROMPT, position=position))):
            if table.columns[-1].title != "product":
                continue
            found += 1
            assert table.total is not None
            assert close(*printed(table.total[3]), sum(printed(row[3])[0] for row in table.rows))
            for row in table.rows:
                if row[1].text:
                    assert close(*printed(row[3]), printed(row[1])[0] * printed(row[2])[0]), row
    assert found >= 12


@pytest.mark.parametrize("stage", ["ln1", "ln2", "ln_final"])
def test_a_printed_layer_norm_reproduces_itself(stage: str, tiny: Any, engine: InProcessEngine) -> None:
    for position in range(12):
        steps, table = tables(engine.view(ViewParams(run="tiny", stage=stage, layer=1, text=PROMPT, position=position)))
        mean, variance, _, scale = (printed(row[1]) for row in steps.rows)
        assert close(*scale, math.sqrt(variance[0] + 1e-5))
        for row in table.rows:
            x, centred, standard, gain, bias, result = (printed(cell) for cell in row[1:])
            assert close(*centred, x[0] - mean[0])
            assert close(*standard, centred[0] / scale[0])
            assert close(*result, standard[0] * gain[0] + bias[0])


@pytest.mark.parametrize(("stage", "titles"), [("embed", ("token", "+ position", "= residual stream")),
                                               ("resid_mid", ("before", "+ attention", "= after")),
                                               ("resid_post", ("before", "+ the MLP", "= after"))])  # fmt: skip
def test_a_printed_addition_reproduces_itself(stage: str, titles: tuple[str, ...], tiny: Any, engine: InProcessEngine) -> None:
    for position in range(12):
        table = tables(engine.view(ViewParams(run="tiny", stage=stage, text=PROMPT, position=position)))[0]
        for a, b, total in zip(*(column(table, title) for title in titles), strict=True):
            assert close(*printed(total), printed(a)[0] + printed(b)[0])


def test_printed_values_add_up_to_z_and_gelu_reproduces_itself(tiny: Any, engine: InProcessEngine) -> None:
    for position in range(12):
        summed, written = tables(engine.view(ViewParams(run="tiny", stage="values", text=PROMPT, position=position)))
        assert summed.total is not None
        for index in range(3, 7):
            assert close(*printed(summed.total[index]), sum(printed(row[index])[0] for row in summed.rows))
        for row in written.rows:
            assert close(*printed(row[3]), printed(row[1])[0] * printed(row[2])[0])
        for row in tables(engine.view(ViewParams(run="tiny", stage="mlp", text=PROMPT, position=position)))[0].rows:
            x = printed(row[1])[0]
            assert close(*printed(row[2]), 0.5 * x * (1 + math.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))))


def test_head_shares_and_bias_make_the_whole_output(tiny: Any, engine: InProcessEngine) -> None:
    table = tables(engine.view(ViewParams(run="tiny", stage="attn_out", text=PROMPT)))[0]
    assert [cell.text for cell in column(table, "part")] == ["head 1", "head 2", "bias"]
    assert sum(cell.value or 0 for cell in column(table, "share")) == pytest.approx(1, abs=1e-6)


def test_sentences_name_the_most_attended_key_and_the_sink(tiny: Any, engine: InProcessEngine, oracle_of: Any) -> None:
    ids = tiny.tokenizer.encode(PROMPT)
    pattern = oracle_of(tiny, ids).values["blocks.0.attn.pattern"][1]
    for position in range(1, 12):
        key = int(pattern[position, : position + 1].argmax())
        target = "itself" if key == position else f"“{tiny.tokenizer.label(ids[key])}”"
        view = engine.view(ViewParams(run="tiny", stage="scores", head=1, text=PROMPT, position=position))
        assert f"pays {100 * pattern[position, key]:.1f}% of its attention to {target}" in view.sentence
    first = engine.view(ViewParams(run="tiny", stage="scores", text=PROMPT, position=0))
    assert first.sentence == "“The” is the first token: it can attend only to itself (100%)."


def test_a_head_that_rests_on_the_first_token_is_called_a_sink(tiny: Any, engine: InProcessEngine) -> None:
    weight = engine.models.model("tiny", "best").model.get_parameter
    direction = torch.tensor([1.0, -1.0] * 4)
    weight("wpe.weight")[0] = 40 * direction  # what only the first token's key will carry
    weight("h.0.attn.c_attn.weight")[:16] = 0.0
    weight("h.0.attn.c_attn.bias")[:16] = 0.0
    weight("h.0.attn.c_attn.weight")[12] = direction  # k of head 2, first dimension
    weight("h.0.attn.c_attn.bias")[4] = 5.0  # q of head 2, first dimension
    weight("h.0.ln_1.weight")[:] = 1.0
    weight("h.0.ln_1.bias")[:] = 0.0
    view = engine.view(ViewParams(run="tiny", stage="heads", text=PROMPT))
    table = tables(view)[0]
    assert [cell.text for cell in column(table, "kind")] == ["diffuse", "first-token sink"]
    assert column(table, "bits")[0].text == f"{math.log2(12):.2f}"
    assert view.sentence.endswith("First-token sink: head 2.")
    scores = engine.view(ViewParams(run="tiny", stage="scores", head=1, text=PROMPT))
    assert scores.sentence.endswith("a first-token sink.")
    alike = engine.view(ViewParams(run="tiny", stage="scores", head=0, text=PROMPT))
    assert alike.sentence.endswith("pays 8.3% of its attention to “The”, the first token.")
    assert "sink" not in engine.view(ViewParams(run="tiny", stage="heads", text=PROMPT, position=1)).sentence


@pytest.mark.parametrize(
    "settings",
    [
        SamplingSettings(),
        SamplingSettings(temperature=0.7, top_k=9, seed=5),
        SamplingSettings(temperature=1.3, top_p=0.6, seed=11),
        SamplingSettings(top_k=40, top_p=0.9, seed=7),
        SamplingSettings(greedy=True),
    ],
)
def test_sampling_shows_before_and_after_and_where_the_draw_fell(
    settings: SamplingSettings, tiny: Any, engine: InProcessEngine, oracle_of: Any
) -> None:
    ids = tiny.tokenizer.encode(PROMPT)
    logits = oracle_of(tiny, ids).values["logits"]
    for position in (0, 7, 11):
        view = engine.view(ViewParams(run="tiny", stage="sample", text=PROMPT, position=position, sampling=settings))
        table, draw = tables(view)
        before = np.exp(logits[position] - logits[position].max())
        before /= before.sum()
        after = filtered(logits[position], settings)
        assert table.selected is not None
        for row in table.rows:
            if not row[1].ref:
                continue
            id_ = int(row[1].ref.rstrip("]").split(",")[1])
            assert row[1].value == pytest.approx(before[id_], rel=1e-4)
            if after[id_] == 0:
                assert (row[0].style, row[2].text) == ("struck", f"out: {_reason(logits[position], settings, id_)}")
            else:
                order = np.argsort(-logits[position], kind="stable")
                low = after[order[: int(np.flatnonzero(order == id_)[0])]].sum()
                assert row[2].value == pytest.approx(after[id_], rel=1e-4)
                assert row[3].value == pytest.approx(low, abs=1e-5)
                assert row[4].value == pytest.approx(low + after[id_], abs=1e-5)
        (line,) = (block for block in view.blocks if isinstance(block, IntervalBar))
        assert [part.low for part in line.parts] == pytest.approx([0.0, *(part.high for part in line.parts[:-1])])
        assert line.parts[-1].high == pytest.approx(1)
        for part in (part for part in line.parts if part.ref):
            id_ = int(part.ref.rstrip("]").split(",")[1])
            assert part.high - part.low == pytest.approx(after[id_], abs=1e-6)
        assert line.parts[line.selected].low <= line.mark < line.parts[line.selected].high
        u, low, high = (printed(row[1])[0] for row in draw.rows[:3])
        assert low <= u < high
        drawn = table.rows[table.selected]
        assert drawn[0].text == draw.rows[3][1].text
        assert (printed(drawn[3])[0], printed(drawn[4])[0]) == (low, high)
        for index in (1, 2):
            parts = [row[index].value or 0.0 for row in table.rows]
            assert sum(parts) == pytest.approx(1, abs=1e-6)


def _reason(logits: np.ndarray, settings: SamplingSettings, id_: int) -> str:
    """The setting that filters a token out: top-k if it alone would, else top-p."""
    if settings.greedy:
        return "greedy"
    return "top-p" if filtered(logits, dataclasses.replace(settings, top_p=1.0))[id_] else "top-k"


def filtered(logits: np.ndarray, settings: SamplingSettings) -> np.ndarray:
    """Temperature, top-k, top-p after Hugging Face's description of them, one token at a time."""
    if settings.greedy:
        return (np.arange(len(logits)) == logits.argmax()).astype(float)
    order = sorted(range(len(logits)), key=lambda id_: (-logits[id_], id_))
    kept = order[: settings.top_k] if settings.top_k else order
    weights = {id_: math.exp((logits[id_] - logits[order[0]]) / settings.temperature) for id_ in kept}
    total = sum(weights.values())
    chosen, mass = [], 0.0
    for id_ in kept:
        if mass >= settings.top_p:
            break
        chosen.append(id_)
        mass += weights[id_] / total
    out = np.zeros(len(logits))
    for id_ in chosen:
        out[id_] = weights[id_] / sum(weights[each] for each in chosen)
    return out


def test_tokens_show_ids_bytes_and_how_they_were_merged(tiny: Any, engine: InProcessEngine) -> None:
    view = engine.view(ViewParams(run="tiny", stage="tokens", text="The cat", position=0))
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
    view = engine.view(ViewParams(run="tiny", stage="scores", text=text))
    (table,) = tables(view)
    assert len(table.rows) == 65
    assert table.rows[-1][0].text == "236 other keys"
    assert sum(row[-1].value or 0 for row in table.rows) == pytest.approx(1, abs=1e-9)
    values = tables(engine.view(ViewParams(run="tiny", stage="values", text=text)))[0]
    assert values.rows[-1][0].text == "236 other keys"
    assert values.total is not None
    for index in range(3, 7):
        assert close(*printed(values.total[index]), sum(printed(row[index])[0] for row in values.rows))
    matrix = engine.view(ViewParams(run="tiny", stage="matrix", text=text, position=150))
    block = matrix.blocks[2]
    assert isinstance(block, Matrix)
    assert block.values.shape == (64, 64)
    assert block.ref == "blocks.0.attn.pattern[0,118:,118:]"
    pattern = oracle_of(tiny, ids).values["blocks.0.attn.pattern"]
    assert block.values.numpy()[40, 3] == pytest.approx(pattern[0, 158, 121], abs=1e-6)
    assert element(block.ref, 40, 3) == "blocks.0.attn.pattern[0,158,121]"
    assert "tokens 119 to 182 of 300" in matrix.sentence
    tokens = engine.view(ViewParams(run="tiny", stage="tokens", text=text))
    assert any(isinstance(each, Paragraph) and "101 to 300 of 300" in each.text for each in tokens.blocks)
