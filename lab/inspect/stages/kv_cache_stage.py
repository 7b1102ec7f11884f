"""The KV cache: its rows and size, the row that one more token adds, and the multiplications that it saves."""

import numpy as np

from lab.core.number_format import bytes_, count, fixed, whole
from lab.inspect.stages.stage_context import SAMPLING_KEYS, Stage, StageContext
from lab.views.blocks import Array, Block, Cell, Column, Matrix, Paragraph, Table, View
from lab.views.number_refs import ref
from lab.views.number_tables import LEFT, Numbers, around, by_columns, strip
from models.parameter_count import kv_cache_bytes, multiplications

ROWS = 24
"""Cached tokens drawn as rows, the newest ones."""


@Stage(
    "KV cache",
    "With the keys and values of these tokens kept, the next one needs only its own computed.",
    SAMPLING_KEYS,
    code={"gpt.py: Attention.forward": ("if cache", "k, v = cache"), "gpt.py: KVCache.extend": ("self.", "return")},
)
def cache(context: StageContext) -> View:
    """The cached keys and values of a model that generates token by token, after the token at the position."""
    tokens = context.position + 1
    new = tokens if context.dropped else 1
    with_it = f"{whole(new)} with it" if new < tokens or tokens == 1 else "and as many with it"
    k, v = (context.heads(f"{context.block}attn.{name}")[context.head, :tokens] for name in ("k", "v"))
    blocks: list[Block] = [
        _layers(context, tokens, new),
        _saved(context, tokens, new),
        Paragraph(
            f"n × (12·layers·width² + 2·layers·width·{whole(tokens)}) + vocabulary·width, where n is the number of rows to "
            f"compute: {whole(tokens)} without a cache, {with_it}."
        ),
        *(
            strip(
                f"{name} of {context.here}, {_newest(context)} in {_place(context)}",
                rows[-1],
                ref(f"{context.block}attn.{name}", context.position, context.head, ":"),
            )
            for name, rows in (("k", k), ("v", v))
        ),
        _rows(context, "k", k),
        _rows(context, "v", v),
        Paragraph(_when_full(context, tokens)),
    ]
    parity = context.parity(f"{context.block}attn.k", k, slice(0, tokens), context.head)
    return View("cache", f"KV cache · {_place(context)}", _sentence(context, tokens), blocks, parity)


def _newest(context: StageContext) -> str:
    """The last row: the only new one, unless all were recomputed."""
    return "the newest row" if context.dropped else "the new row"


def _place(context: StageContext) -> str:
    return f"layer {context.layer + 1} · head {context.head + 1}"


def _sentence(context: StageContext, tokens: int) -> str:
    size = bytes_(kv_cache_bytes(context.config, tokens))
    if context.dropped:
        return (
            f"The window has slid by {whole(context.dropped)}: every position changed, so none of the {whole(tokens)} rows could "
            f"be kept. All were recomputed ({size})."
        )
    if tokens == 1:
        return f"{context.here} is the first token: its row is the only one in every layer, {size} in all."
    return (
        f"Keys and values of earlier tokens never change, so the model keeps them. For {context.here} one row per layer is "
        f"computed, {whole(tokens - 1)} are reused; cache size {size}."
    )


def _layers(context: StageContext, tokens: int, new: int) -> Table:
    config = context.config
    each = kv_cache_bytes(config, tokens) // config.layers
    row = config.heads * config.head_width
    numbers = f"2 × {config.layers} × {whole(tokens)} × {whole(row)}"
    total = [Cell("all"), Cell(""), Cell(""), Cell(numbers), Cell(bytes_(kv_cache_bytes(config, tokens)))]
    return by_columns(
        "cache size, 4 bytes per number",
        (LEFT, (f"layer {layer + 1}" for layer in range(config.layers))),
        ("rows kept", [whole(tokens - new)] * config.layers),
        ("new rows", [Cell(f"+ {whole(new)}", style="strong")] * config.layers),
        (Column("numbers: k and v", optional=1), [f"2 × {whole(tokens)} × {whole(row)}"] * config.layers),
        ("bytes", [bytes_(each)] * config.layers),
        total=total,
        selected=context.layer,
    )


def _saved(context: StageContext, tokens: int, new: int) -> Table:
    """The multiplications without a cache and with it, which computes `new` rows."""
    config = context.config
    with_it, without = multiplications(config, tokens, new), multiplications(config, tokens, tokens)
    share = f"{fixed(without / with_it, 1)} × as many"
    rows = [
        [Cell("without a cache"), Cell(whole(without)), Cell(share if tokens > new else "")],
        [Cell("with it"), Cell(whole(with_it)), Cell("")],
        [Cell("saved", style="strong"), Cell(whole(without - with_it), style="strong"), Cell("")],
    ]
    columns = [LEFT, Column("multiplications"), LEFT]
    return Table(columns, rows, title=f"multiplications to predict token {tokens + 1}")


def _rows(context: StageContext, which: str, values: Numbers) -> Matrix:
    """The newest cached rows of the head, the new one marked."""
    shown = around(len(values), len(values) - 1, ROWS)
    what = "keys" if which == "k" else "values"
    above = f", {whole(shown.start)} more above" if shown.start else ""
    return Matrix(
        title=f"{what} in {_place(context)}: one row per token",
        row_labels=[context.name(i) for i in shown],
        column_labels=[str(i + 1) for i in range(values.shape[1])],
        values=Array.of(np.ascontiguousarray(values[shown.start :])),
        legend=f"▸ {_newest(context)}{above}",
        ref=ref(f"{context.block}attn.{which}", f"{shown.start}:", context.head, ":"),
        selected=(len(shown) - 1, 0),
        scale="diverging",
    )


def _when_full(context: StageContext, tokens: int) -> str:
    window = context.config.context
    full = bytes_(kv_cache_bytes(context.config, window))
    left = window - tokens
    words = f"Cache of a full window ({whole(window)} tokens): {full}."
    if context.dropped:
        cost = count(multiplications(context.config, window, window))
        return f"{words} Every further token costs the whole window, {cost} multiplications."
    when = "It is full now" if left == 0 else f"{whole(left)} more token{'s' * (left != 1)} fit{'s' * (left == 1)}"
    return f"{words} {when}; after that the window slides, every position changes, and all rows are recomputed for each token."
