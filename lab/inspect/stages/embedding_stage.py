"""The first two stages: which tokens the prompt is made of, and the vectors they are looked up as."""

from typing import TYPE_CHECKING

import numpy as np

from lab.core.number_format import significant
from lab.inspect.stages.stage_context import StageContext
from lab.views.blocks import Block, Cell, Column, Note, Parity, Table, View
from lab.views.number_refs import ref
from lab.views.number_tables import Series, around, decimals_for, figures, norm, series_table, strip

if TYPE_CHECKING:
    from models.tokenizers.tokenizer import Node

ROWS = 200
"""Tokens listed at one time; a longer prompt is listed around the position."""
DIMENSIONS = 8
"""Dimensions of a vector that are written out."""


def hexadecimal(data: bytes) -> str:
    return data.hex(" ")


def tokens(look: StageContext) -> View:
    """The prompt's tokens with ids and bytes, and how the chosen one was merged from single bytes."""
    tokenizer, id_ = look.tokenizer, look.ids[look.position]
    data = tokenizer.token_bytes(id_)
    shown = around(len(look.ids), look.position, ROWS)
    rows = [
        [
            Cell(look.name(index)),
            Cell(str(look.ids[index]), value=look.ids[index], ref=ref("tokens", index)),
            Cell(hexadecimal(tokenizer.token_bytes(look.ids[index]))),
            _rank(look, look.ids[index]),
        ]
        for index in shown
    ]
    columns = [Column("token", align="left"), Column("id"), Column("bytes", align="left"), Column("merge", optional=True)]
    blocks: list[Block] = [Table(columns, rows, title="the prompt", selected=look.position - shown.start)]
    if len(shown) < len(look.ids):
        blocks.append(Note(f"Listed are tokens {shown.start + 1} to {shown.stop} of {len(look.ids)}."))
    tree = tokenizer.tree(id_)
    leaves = _leaves(tree)
    if len(leaves) > 1:
        blocks.append(Table(columns, _branches(look, tree, "", ""), title=f"how “{look.label(look.position)}” was merged"))
    wrong = sum(a != b for a, b in zip(b"".join(leaves), data, strict=True))
    parity = Parity("bytes of the merge tree · vocabulary", float(wrong), len(data))
    return View("tokens", "tokens", _made_of(look, len(data), len(leaves)), blocks, parity)


def _made_of(look: StageContext, size: int, leaves: int) -> str:
    """One sentence on what the chosen token is."""
    here, id_ = look.here, look.ids[look.position]
    where = f"{here} is token {look.position + 1} of {len(look.ids)}"
    if look.tokenizer.merge_rank(id_) is not None:
        merges = "1 merge" if leaves == 2 else f"{leaves - 1} merges"
        return f"{where}: number {id_} of the vocabulary, {size} bytes that {merges} made one token."
    kind = "a special token, which no text can spell" if size > 1 else "a single byte, which every vocabulary starts from"
    return f"{where}: number {id_} of the vocabulary, {kind}."


def _rank(look: StageContext, id_: int) -> Cell:
    rank = look.tokenizer.merge_rank(id_)
    return Cell("byte" if rank is None else str(rank + 1), value=None if rank is None else rank + 1, style="dim")


def _branches(look: StageContext, node: "Node", lead: str, below: str) -> list[list[Cell]]:
    """A row for the node and for all beneath it, drawn as a tree."""
    row = [
        Cell(lead + look.tokenizer.label(node.id)),
        Cell(str(node.id), value=node.id),
        Cell(hexadecimal(node.bytes)),
        _rank(look, node.id),
    ]
    rows = [row]
    if node.left and node.right:
        rows += _branches(look, node.left, below + "├ ", below + "│ ")
        rows += _branches(look, node.right, below + "└ ", below + "  ")
    return rows


def _leaves(node: "Node") -> list[bytes]:
    if node.left and node.right:
        return _leaves(node.left) + _leaves(node.right)
    return [node.bytes]


def embed(look: StageContext) -> View:
    """Token vector + position vector = residual stream."""
    position, id_, width = look.position, look.ids[look.position], look.config.width
    # The table's rows themselves, not the trace's copies of them: the sum below is then an independent one.
    token = look.weight("wte.weight")[id_].astype(np.float64)
    place = look.weight("wpe.weight")[position].astype(np.float64)
    total = token + place
    names = ("embed", "pos_embed", look.before("blocks.0.resid_pre", position))
    vectors = (token, place, total)
    first = range(min(DIMENSIONS, width))
    table = series_table(
        "dimension",
        [str(dimension + 1) for dimension in first],
        [
            Series(title, vector[: len(first)], lambda row, name=name: ref(name, position, row))  # type: ignore[misc]
            for title, name, vector in zip(("token", "+ position", "= residual stream"), names, vectors, strict=True)
        ],
        [decimals_for(*(vector[: len(first)] for vector in vectors))] * 3,
        title=f"the first {len(first)} of {width} numbers",
    )
    lengths = Table(
        [Column("vector", align="left"), Column("length")],
        [
            [Cell(title), figures(norm(vector), 4, ref(f"{name}.norm", position))]
            for title, name, vector in zip(("token", "position", "residual stream"), names, vectors, strict=True)
        ],
        title="lengths",
    )
    strips = [
        strip(f"token vector of “{look.label(position)}”", token, ref(names[0], position)),
        strip(f"position vector of place {position + 1}", place, ref(names[1], position)),
        strip("their sum, the residual stream", total, ref(names[2], position)),
    ]
    sentence = (
        f"{look.here} is looked up: row {id_} of the token table, and place {position + 1} of the position table. Added, they "
        f"are the {width} numbers of the residual stream (length {significant(norm(total))}), which all layers read and add to."
    )
    return View("embed", "embedding + position", sentence, [table, lengths, *strips], look.parity(names[2], total, position))
