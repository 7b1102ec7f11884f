"""The KV cache's view, held to a cache that the model itself has filled token by token."""

from typing import Any

import numpy as np
import pytest
import torch

from lab.views.blocks import Matrix, Paragraph, Strip, View
from models.gpt import KVCache
from tests.lab.engine.conftest import PROMPT, InProcessEngine
from tests.lab.inspect.read_views import tables


def cache_view(engine: InProcessEngine, **params: Any) -> View:
    return engine.view(stage="cache", **{"text": PROMPT, **params})


@pytest.mark.parametrize(("layer", "head", "position"), [(0, 0, None), (1, 1, None), (1, 0, 3), (0, 1, 0)])
def test_the_rows_are_those_of_a_cache_filled_token_by_token(
    layer: int, head: int, position: int | None, tiny: Any, engine: InProcessEngine
) -> None:
    ids = tiny.tokenizer.encode(PROMPT)
    ids = ids if position is None else ids[: position + 1]
    cache = KVCache(tiny.model.config)
    for id_ in ids:
        tiny.model.hidden(torch.tensor([[id_]]), cache)
    view = cache_view(engine, layer=layer, head=head, position=position)
    for which, held in (("k", cache.keys), ("v", cache.values)):
        rows = held[layer, 0, head, : cache.length].numpy()
        (matrix,) = (block for block in view.blocks if isinstance(block, Matrix) and f"attn.{which}[" in block.ref)
        np.testing.assert_allclose(matrix.values.numpy(), rows, atol=2e-5)
        assert matrix.selected == (len(ids) - 1, 0)
        (strip,) = (block for block in view.blocks if isinstance(block, Strip) and f"attn.{which}[" in block.ref)
        np.testing.assert_allclose(strip.values.numpy(), rows[-1], atol=2e-5)


def test_bytes_and_rows_are_those_of_the_tensors_that_are_held(tiny: Any, engine: InProcessEngine) -> None:
    ids = tiny.tokenizer.encode(PROMPT)
    config = tiny.model.config
    held = KVCache(config).keys[:, :, :, : len(ids)].nbytes * 2
    table = tables(cache_view(engine))[0]
    assert [row[1].text for row in table.rows] == [str(len(ids) - 1)] * config.layers
    assert [row[2].text for row in table.rows] == ["+ 1"] * config.layers
    assert table.total is not None
    assert table.total[-1].text == f"{held / 1000:.1f} kB"
    assert table.rows[0][-1].text == f"{held // config.layers} B"


def test_the_multiplications_are_counted_by_hand(tiny: Any, engine: InProcessEngine) -> None:
    """Two layers of width 8 with 12 tokens: q, k, v 3·8·8, output 8·8, MLP 2·4·8·8; then keys and values; then the head."""
    tokens, vocabulary = len(tiny.tokenizer.encode(PROMPT)), tiny.model.config.vocab_size
    per_token = 2 * (3 * 64 + 64 + 2 * 4 * 64) + 2 * (2 * 8 * tokens)
    with_it, without = per_token + 8 * vocabulary, tokens * per_token + 8 * vocabulary
    shown = [int(row[1].text.replace(",", "")) for row in tables(cache_view(engine))[1].rows]
    assert shown == [without, with_it, without - with_it]


def test_a_window_that_has_slid_keeps_nothing_and_says_so(tiny: Any, engine: InProcessEngine) -> None:
    view = cache_view(engine, text=PROMPT * 3)
    assert "slid" in view.sentence
    assert [row[1].text for row in tables(view)[0].rows] == ["0", "0"]
    assert [row[2].text for row in tables(view)[0].rows] == ["+ 16", "+ 16"]


def test_how_much_room_is_left_is_said(tiny: Any, engine: InProcessEngine) -> None:
    ids = tiny.tokenizer.encode(PROMPT * 3)

    def last(count: int) -> str:
        note = cache_view(engine, ids=tuple(ids[:count])).blocks[-1]
        assert isinstance(note, Paragraph)
        return note.text

    assert "14 more tokens fit" in last(2)
    assert "1 more token fits" in last(15)
    assert "It is full now" in last(16)


def test_a_first_token_is_the_only_row(tiny: Any, engine: InProcessEngine) -> None:
    view = cache_view(engine, position=0)
    assert "is the first" in view.sentence
    assert [row[1].text for row in tables(view)[0].rows] == ["0", "0"]
