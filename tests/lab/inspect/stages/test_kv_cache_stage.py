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


def test_bytes_rows_and_multiplications_are_those_of_the_tensors_that_are_held(tiny: Any, engine: InProcessEngine) -> None:
    ids = tiny.tokenizer.encode(PROMPT)
    config = tiny.model.config
    held = KVCache(config).keys[:, :, :, : len(ids)].nbytes * 2
    table, work = tables(cache_view(engine))
    assert [row[1].text for row in table.rows] == [str(len(ids) - 1)] * config.layers
    assert [row[2].text for row in table.rows] == ["+ 1"] * config.layers
    assert table.total is not None
    assert table.total[-1].text == f"{held / 1000:.1f} kB"
    assert table.rows[0][-1].text == f"{held // config.layers} B"
    # Two layers of width 8: q, k, v 3·8·8, output 8·8, MLP 2·4·8·8; then keys and values; then the head.
    per_token = 2 * (3 * 64 + 64 + 2 * 4 * 64) + 2 * (2 * 8 * len(ids))
    with_it, without = per_token + 8 * config.vocab_size, len(ids) * per_token + 8 * config.vocab_size
    assert [int(row[1].text.replace(",", "")) for row in work.rows] == [without, with_it, without - with_it]


def test_the_first_token_the_room_that_is_left_and_a_window_that_has_slid_are_said(tiny: Any, engine: InProcessEngine) -> None:
    ids = tiny.tokenizer.encode(PROMPT * 3)
    for count, words in ((2, "14 more tokens fit"), (15, "1 more token fits"), (16, "It is full now")):
        note = cache_view(engine, ids=tuple(ids[:count])).blocks[-1]
        assert isinstance(note, Paragraph)
        assert words in note.text
    for params, words, new in (({"position": 0}, "is the first", "+ 1"), ({"text": PROMPT * 3}, "slid", "+ 16")):
        view = cache_view(engine, **params)
        assert words in view.sentence
        assert [(row[1].text, row[2].text) for row in tables(view)[0].rows] == [("0", new)] * 2
