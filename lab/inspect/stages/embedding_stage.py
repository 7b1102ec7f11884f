"""The prompt's tokens, and their embeddings: token vector + position vector."""

from typing import TYPE_CHECKING

import numpy as np

from lab.core.number_format import significant
from lab.inspect.stages.stage_context import StageContext
from lab.views.blocks import Block, Cell, Column, Paragraph, Parity, Table, View
from lab.views.number_refs import ref
from lab.views.number_tables import Series, around, decimals_for, dimensions_title, figures, norm, series_table, stacked

if TYPE_CHECKING:
    from models.tokenizers.tokenizer import Node

ROWS = 200
"""Tokens listed at one time, those nearest to the position."""
DIMENSIONS = 64
"""Most dimensions in the table of numbers."""


def hexadecimal(data: bytes) -> str:
    return data.hex(" ")


def tokens(context: StageContext) -> View:
    """The prompt's tokens with ids and bytes, and the merge tree of the chosen one."""
    tokenizer, id_ = context.tokenizer, context.ids[context.position]
    data = tokenizer.token_bytes(id_)
    shown = around(len(context.ids), context.position, ROWS)
    rows = [
        [
            Cell(context.name(index)),
            Cell(str(context.ids[index]), value=context.ids[index], ref=ref("tokens", index)),
            Cell(hexadecimal(tokenizer.token_bytes(context.ids[index]))),
            _rank(context, context.ids[index]),
        ]
        for index in shown
    ]
    columns = [Column("token", align="left"), Column("id"), Column("bytes", align="left"), Column("merge", optional=True)]
    blocks: list[Block] = [Table(columns, rows, title="the prompt", selected=context.position - shown.start)]
    if len(shown) < len(context.ids):
        blocks.append(Paragraph(f"Tokens {shown.start + 1} to {shown.stop} of {len(context.ids)}."))
    tree = tokenizer.tree(id_)
    leaves = _leaves(tree)
    if len(leaves) > 1:
        blocks.append(
            Table(columns, _branches(context, tree, "", ""), title=f"merge tree of “{context.label(context.position)}”")
        )
    wrong = sum(a != b for a, b in zip(b"".join(leaves), data, strict=True))
    parity = Parity("bytes of the merge tree · vocabulary", float(wrong), len(data))
    return View("tokens", "tokens", _sentence(context, len(data), len(leaves)), blocks, parity)


def _sentence(context: StageContext, size: int, leaves: int) -> str:
    here, id_ = context.here, context.ids[context.position]
    where = f"{here} is token {context.position + 1} of {len(context.ids)}"
    if context.tokenizer.merge_rank(id_) is not None:
        merges = "1 merge" if leaves == 2 else f"{leaves - 1} merges"
        return f"{where}: id {id_}, {size} bytes joined by {merges}."
    kind = "a special token, which no text encodes to" if size > 1 else "a single byte"
    return f"{where}: id {id_}, {kind}."


def _rank(context: StageContext, id_: int) -> Cell:
    rank = context.tokenizer.merge_rank(id_)
    return Cell("byte" if rank is None else str(rank + 1), value=None if rank is None else rank + 1, style="dim")


def _branches(context: StageContext, node: "Node", lead: str, below: str) -> list[list[Cell]]:
    """A row for the node and each of its descendants, drawn as a tree."""
    row = [
        Cell(lead + context.tokenizer.label(node.id)),
        Cell(str(node.id), value=node.id),
        Cell(hexadecimal(node.bytes)),
        _rank(context, node.id),
    ]
    rows = [row]
    if node.left and node.right:
        rows += _branches(context, node.left, below + "├ ", below + "│ ")
        rows += _branches(context, node.right, below + "└ ", below + "  ")
    return rows


def _leaves(node: "Node") -> list[bytes]:
    if node.left and node.right:
        return _leaves(node.left) + _leaves(node.right)
    return [node.bytes]


def embed(context: StageContext) -> View:
    """Token vector + position vector = residual stream."""
    position, id_, width = context.position, context.ids[context.position], context.config.width
    # The weights themselves, not the trace's copies of them, so that the sum below is independent of the trace.
    token = context.weight("wte.weight")[id_].astype(np.float64)
    positional = context.weight("wpe.weight")[position].astype(np.float64)
    total = token + positional
    names = ("embed", "pos_embed", context.before("blocks.0.resid_pre", position))
    vectors = (token, positional, total)
    first = range(min(DIMENSIONS, width))
    table = series_table(
        "dimension",
        [str(dimension + 1) for dimension in first],
        [
            Series(title, vector[: len(first)], lambda row, name=name: ref(name, position, row))  # type: ignore[misc]
            for title, name, vector in zip(("token", "+ position", "= residual stream"), names, vectors, strict=True)
        ],
        [decimals_for(*(vector[: len(first)] for vector in vectors))] * 3,
        title=dimensions_title(len(first), width),
    )
    norms = Table(
        [Column("vector", align="left"), Column("norm")],
        [
            [Cell(title), figures(norm(vector), 4, ref(f"{name}.norm", position))]
            for title, name, vector in zip(("token", "position", "residual stream"), names, vectors, strict=True)
        ],
        title="norms",
    )
    labels = ("token", "+ position", "= stream")
    strips = stacked(
        f"“{context.label(position)}” + position {position + 1} = residual stream",
        [(label, vector, ref(name, position)) for label, vector, name in zip(labels, vectors, names, strict=True)],
        f"{width} dimensions",
    )
    sentence = (
        f"{context.here} is row {id_} of the token embedding; position {position + 1} adds its vector. Their sum is the "
        f"residual stream: {width} dimensions, norm {significant(norm(total))}."
    )
    return View("embed", "embedding + position", sentence, [strips, norms, table], context.parity(names[2], total, position))
