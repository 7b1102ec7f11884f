"""All heads of all layers: every picture and every summary against the oracle's patterns in float64."""

import itertools
import math
from typing import Any

import numpy as np
import pytest
import torch

from lab.core.number_format import probability
from lab.data.default_prompts import DEMO_INSPECT_HEAD, DEMO_INSPECT_PROMPT
from lab.engine.method_registry import LensParams, ViewParams
from lab.engine.prompt_methods import PromptMethods
from lab.inspect.intervention_effect import Effect
from lab.inspect.interventions import Intervention
from lab.inspect.measured_effects import LITTLE
from lab.inspect.model_cache import ModelCache
from lab.inspect.stages.all_heads_stage import picture_size
from lab.views.blocks import Gallery, View
from models.check import checked_by
from tests.lab.engine.conftest import PROMPT, InProcessEngine
from tests.lab.inspect.read_views import blocks, make_sink, tables

LONG = "The big dog ran fast. The small cat ran home. The big cat sat. " * 3


def gallery_of(view: View) -> Gallery:
    return blocks(view, Gallery)[0]


def ask(engine: InProcessEngine, text: str = PROMPT, width: int = 52, **params: Any) -> View:
    return engine.view(stage="thumbnails", text=text, width_hint=width, **params)


def pooled(pattern: Any, rows: int, columns: int) -> Any:
    """Largest of each group, group by group; NaN where every key comes after every query."""
    tokens = len(pattern)
    out = np.full((rows, columns), np.nan)
    for i in range(rows):
        for j in range(columns):
            queries = range(tokens * i // rows, tokens * (i + 1) // rows)
            keys = range(tokens * j // columns, tokens * (j + 1) // columns)
            seen = [pattern[q, k] for q in queries for k in keys if k <= q]
            out[i, j] = max(seen) if seen else np.nan
    return out


@pytest.mark.parametrize(("layers", "heads", "width", "context"), [(2, 2, 8, 16), (3, 4, 12, 12), (1, 1, 4, 64), (2, 6, 12, 48)])
@pytest.mark.parametrize("room", [40, 170])
def test_every_picture_is_the_largest_of_its_group(
    layers: int, heads: int, width: int, context: int, room: int, make_run: Any, engine: InProcessEngine, oracle_of: Any
) -> None:
    tiny = make_run(seed=4, layers=layers, heads=heads, width=width, context=context)
    ids = tiny.tokenizer.encode(LONG)[-context:]
    oracle = oracle_of(tiny, ids)
    view = ask(engine, LONG, room)
    gallery = gallery_of(view)
    assert [each.label for each in gallery.thumbnails] == [f"{i + 1}.{h + 1}" for i in range(layers) for h in range(heads)]
    assert gallery.group == heads
    size = picture_size(room, heads, len(ids))
    for index, each in enumerate(gallery.thumbnails):
        layer, head = divmod(index, heads)
        expected = pooled(oracle.values[f"blocks.{layer}.attn.pattern"][head], size, size)
        np.testing.assert_allclose(each.values.numpy(), expected, rtol=2e-5, atol=2e-6)
    assert ("downsampled" in gallery.legend) == (size != len(ids))
    assert view.parity is not None
    assert view.parity.max_delta < 2e-5
    assert view.parity.count == layers * len(ids) * width


@pytest.mark.parametrize(
    ("room", "heads", "tokens", "size"),
    [
        (84, 4, 11, 11),  # the demo with its prompt at 120 columns: unshrunk
        (47, 4, 11, 11),  # and at 80
        (84, 4, 64, 20),
        (47, 4, 64, 22),  # on two lines
        (84, 12, 64, 13),
        (84, 1, 64, 64),
        (200, 2, 64, 64),
        (10, 12, 64, 4),
    ],
)
def test_a_thumbnail_is_as_large_as_lets_a_layer_stay_in_sight(room: int, heads: int, tokens: int, size: int) -> None:
    assert picture_size(room, heads, tokens) == size


@pytest.mark.parametrize("position", [0, 1, 2, 7, None])
def test_the_summaries_are_the_oracles(position: int | None, tiny: Any, engine: InProcessEngine, oracle_of: Any) -> None:
    ids = tiny.tokenizer.encode(PROMPT)
    at = len(ids) - 1 if position is None else position
    oracle = oracle_of(tiny, ids)
    view = ask(engine, position=position, layer=1, head=0)
    gallery = gallery_of(view)
    (table,) = tables(view)
    for index, (each, row) in enumerate(zip(gallery.thumbnails, table.rows, strict=True)):
        p = oracle.values[f"blocks.{index // 2}.attn.pattern"][index % 2, at, : at + 1]
        bits = -(p[p > 0] * np.log2(p[p > 0])).sum()
        expected = [bits, p[-1], p[-2] if at else None, p[0], None, p.max(), None]
        for cell, number in zip(row[2:], expected, strict=True):
            assert cell.value == (None if number is None else pytest.approx(number, abs=2e-6))
        assert each.value == pytest.approx(bits, abs=2e-6)
        assert each.ref == f"blocks.{index // 2}.attn.entropy[{index % 2},{at}]"
        assert each.summary.startswith(f"Head {each.label} ")
        assert row[6].text.split()[0] == str(p.argmax() + 1)
    assert (gallery.selected, table.selected) == (2, 2)
    assert view.sentence.endswith(gallery.thumbnails[2].summary)
    assert f"over {at + 1} key" in view.sentence


@pytest.mark.parametrize("position", [None, 7])
def test_each_head_is_switched_off_and_the_one_that_changes_most_is_named(
    position: int | None, tiny: Any, engine: InProcessEngine
) -> None:
    def without(layer: int, head: int) -> Effect:
        off = Intervention(part="attn.z", how="off", layer=layer, head=head)
        params = LensParams(run="tiny", text=PROMPT, position=position, interventions=(off,))
        return PromptMethods(engine.models).effect(params)

    view = ask(engine, position=position)
    heads = list(itertools.product(range(2), range(2)))
    effects = {each: without(*each) for each in heads}
    most = max(heads, key=lambda each: effects[each].kl)
    name = f"{most[0] + 1}.{most[1] + 1}"
    for pair, row in zip(heads, tables(view)[0].rows, strict=True):
        assert row[1].text == probability(effects[pair].first_before.after)
    assert f"head {name}. Switched off, it moves the whole prediction most: " in view.sentence
    assert f"{probability(effects[most].first_before.before)} → " in view.sentence
    assert view.sentence.startswith(f"Worth a look: head {name}. ") or effects[most].kl < LITTLE
    assert ": attention entropy " in view.title
    with_it = ask(engine, position=position, interventions=(Intervention(part="attn.z", how="off"),))
    assert "Switched off" not in with_it.sentence, "the model with all its heads is measured"


def test_inspect_begins_with_the_demos_head_of_the_largest_effect() -> None:
    models = ModelCache()
    params = ViewParams(run="demo", text=DEMO_INSPECT_PROMPT, stage="thumbnails", width_hint=52)
    with torch.no_grad():
        view = PromptMethods(models).view(params)
    layer, head = DEMO_INSPECT_HEAD
    assert view.sentence.startswith(f"Worth a look: head {layer + 1}.{head + 1}. ")


def test_a_head_that_rests_on_the_first_token_is_called_a_sink(tiny: Any, engine: InProcessEngine) -> None:
    make_sink(engine.models.model("tiny", "best").model, 1, 25.0)
    view = ask(engine, layer=1, head=1)
    second = gallery_of(view).thumbnails[3]
    assert second.caption.startswith("sink ")
    assert "first-token sink" in view.sentence
    assert gallery_of(view).thumbnails[2].caption == "diffuse"  # all scores alike
    assert "diffuse from 80% on)" in gallery_of(view).thumbnails[2].summary, "the rule stands beside its number"
    assert gallery_of(view).thumbnails[2].value == pytest.approx(math.log2(12), abs=1e-5)


def test_moving_among_heads_makes_no_layer_again_and_others_come_between_layers(
    tiny: Any, engine: InProcessEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    from models.trace import Trace

    ask(engine)
    ask(engine, layer=1)
    asked: list[int] = []
    real = Trace.pattern_and_values
    monkeypatch.setattr(Trace, "pattern_and_values", lambda self, layer: asked.append(layer) or real(self, layer))
    for position in (0, 3, None):
        for layer in (0, 1):
            ask(engine, layer=layer, head=1, position=position)
    assert asked == []
    ask(engine, width=8)
    assert asked == [0, 1], "for another size of the same picture"
    checks: list[None] = []
    with checked_by(lambda: checks.append(None)):
        engine.view(stage="thumbnails", text="The dog", width_hint=52)
    assert len(checks) >= 2 * tiny.model.config.layers, "so that whatever else is asked for comes in between"
