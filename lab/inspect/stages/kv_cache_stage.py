"""The KV cache: what is kept of the tokens before, the row that one more token adds, and what keeping them saves."""

import numpy as np

from lab.core.number_format import bytes_, count, fixed, whole
from lab.inspect.stages.stage_context import StageContext
from lab.views.blocks import Array, Block, Cell, Column, Matrix, Note, Table, View
from lab.views.number_refs import ref
from lab.views.number_tables import Numbers, around, strip
from models.parameter_count import kv_cache_bytes, multiplications

ROWS = 24
"""Cached tokens drawn as rows, those nearest to the new one."""


def cache(look: StageContext) -> View:
    """Which keys and values a model that writes token by token holds when it has just seen the token at the position."""
    tokens = look.position + 1
    new = tokens if look.dropped else 1
    k, v = (look.heads(f"{look.block}attn.{name}")[look.head, :tokens] for name in ("k", "v"))
    blocks: list[Block] = [
        _layers(look, tokens, new),
        _saved(look, tokens),
        strip(f"k of {look.here}, the row that is new in {_place(look)}", k[-1], _name(look, "k", look.position)),
        strip(f"v of {look.here}, the row that is new in {_place(look)}", v[-1], _name(look, "v", look.position)),
        _rows(look, "k", k),
        _rows(look, "v", v),
        Note(_when_lost(look, tokens)),
    ]
    parity = look.parity(f"{look.block}attn.k", k, slice(0, tokens), look.head)
    return View("cache", f"KV cache · {_place(look)}", _sentence(look, tokens), blocks, parity)


def _place(look: StageContext) -> str:
    return f"layer {look.layer + 1} · head {look.head + 1}"


def _name(look: StageContext, which: str, position: int | str) -> str:
    return ref(f"{look.block}attn.{which}", position, look.head, ":")


def _sentence(look: StageContext, tokens: int) -> str:
    size = bytes_(kv_cache_bytes(look.config, tokens))
    if look.dropped:
        return (
            f"The prompt is longer than the window, which has slid by {whole(look.dropped)}: each token has moved to another "
            f"place, so none of the {whole(tokens)} rows could be kept, and all were computed anew for this prediction ({size})."
        )
    if tokens == 1:
        return (
            f"A later token needs only the key and the value of those before it. {look.here} is the first: its row is the only "
            f"one in every layer, {size} in all."
        )
    return (
        f"A later token needs only the keys and values of those before it, and these never change: the model keeps them. For "
        f"{look.here} one row was computed in every layer; the {whole(tokens - 1)} before it were there already. Held: {size}."
    )


def _layers(look: StageContext, tokens: int, new: int) -> Table:
    config = look.config
    each = kv_cache_bytes(config, tokens) // config.layers
    row = config.heads * config.head_width
    rows = [
        [
            Cell(f"layer {layer + 1}"),
            Cell(whole(tokens - new)),
            Cell(f"+ {whole(new)}", style="strong"),
            Cell(f"2 × {whole(tokens)} × {whole(row)}"),
            Cell(bytes_(each)),
        ]
        for layer in range(config.layers)
    ]
    columns = [
        Column("", "left"),
        Column("rows kept"),
        Column("new rows"),
        Column("numbers: k and v", optional=True),
        Column("bytes"),
    ]
    numbers = f"2 × {config.layers} × {whole(tokens)} × {whole(row)}"
    total = [Cell("all"), Cell(""), Cell(""), Cell(numbers), Cell(bytes_(kv_cache_bytes(config, tokens)))]
    return Table(columns, rows, title="what is held, 4 bytes a number", total=total, selected=look.layer)


def _saved(look: StageContext, tokens: int) -> Table:
    config = look.config
    with_it, without = multiplications(config, tokens, 1), multiplications(config, tokens, tokens)
    share = f"{fixed(without / with_it, 1)} × as many"
    rows = [
        [Cell("without a cache"), Cell(whole(without)), Cell(share if tokens > 1 else "")],
        [Cell("with it"), Cell(whole(with_it)), Cell("")],
        [Cell("saved", style="strong"), Cell(whole(without - with_it), style="strong"), Cell("")],
    ]
    formula = (
        f"n × (12·layers·width² + 2·layers·width·{whole(tokens)}) + vocabulary·width, n = {whole(tokens)} without and 1 with"
    )
    columns = [Column("multiplications", "left"), Column(""), Column("", "left")]
    return Table(columns, rows, title=f"to predict token {tokens + 1}: {formula}")


def _rows(look: StageContext, which: str, values: Numbers) -> Matrix:
    """The last cached rows of the head, the new one marked."""
    shown = around(len(values), len(values) - 1, ROWS)
    what = "keys" if which == "k" else "values"
    above = f", {whole(shown.start)} more above" if shown.start else ""
    return Matrix(
        title=f"{what} in {_place(look)}: one row for each token",
        row_labels=[look.name(i) for i in shown],
        column_labels=[str(i + 1) for i in range(values.shape[1])],
        values=Array.of(np.ascontiguousarray(values[shown.start :])),
        legend=f"▸ {'the newest row' if look.dropped else 'the new row'}{above}",
        ref=ref(f"{look.block}attn.{which}", f"{shown.start}:", look.head, ":"),
        selected=(len(shown) - 1, 0),
    )


def _when_lost(look: StageContext, tokens: int) -> str:
    context = look.config.context
    full = bytes_(kv_cache_bytes(look.config, context))
    left = context - tokens
    words = f"The window holds {whole(context)} tokens, and the cache then {full}."
    if look.dropped:
        cost = count(multiplications(look.config, context, context))
        return f"{words} From there on every token costs the whole window, {cost} multiplications."
    when = f"{whole(left)} more tokens fit" if left != 1 else "One more token fits"
    if left == 0:
        when = "It is full now"
    return (
        f"{words} {when}; after that the window slides, each token gets the position vector of the place before its own, "
        "and the cache is lost: all rows are computed anew for every token."
    )
