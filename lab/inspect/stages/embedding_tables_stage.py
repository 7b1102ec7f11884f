"""The two embedding tables: a token's nearest neighbours among all tokens, and the position embeddings beside each other."""

import numpy as np

from lab.core.number_format import fixed, whole
from lab.inspect.stages.stage_context import Stage, StageContext
from lab.views.blocks import Array, Block, Cell, Column, Matrix, Table, View
from lab.views.number_refs import ref
from lab.views.number_tables import Numbers, figures, norm, number, strip
from models.check import check

NEIGHBOURS = 10
"""Nearest tokens in the table."""
DRAWN = 3
"""Of these, those drawn in full beneath the token's own vector."""
ROWS_AT_ONCE = 4096
"""Rows of the token embedding whose cosines are computed at one time: some milliseconds of GPT-2's."""
POSITIONS = 64
"""Most rows of the heatmap of positions, and most positions whose similarities are drawn."""


@Stage(
    "nearest tokens",
    "Of all tokens, these have the embeddings nearest in direction to this one's.",
    code={"gpt.py: GPT.hidden": ("x = self.drop",)},
)
def neighbours(context: StageContext) -> View:
    """The tokens whose embeddings point most nearly in the direction of this one's."""
    id_, position = context.ids[context.position], context.position
    table = context.weight("wte.weight")
    vector = table[id_].astype(np.float64)
    found: tuple[Numbers, list[int]] | None = context.traced.get("neighbours", id_)
    if found is None:
        cosines = _cosines(table, vector)
        others = cosines.copy()
        others[id_] = -np.inf
        found = cosines, np.argsort(-others, kind="stable")[: min(NEIGHBOURS, len(others) - 1)].tolist()
        context.traced.put("neighbours", id_, found)
        check()
    cosines, nearest = found
    rows = [
        [
            Cell(context.tokenizer.label(each)),
            Cell(str(each)),
            number(cosines[each], 3, ref("wte.cosine", id_, each), bar=float(cosines[each])),
            figures(norm(table[each]), 4, ref("wte.norm", each)),
        ]
        for each in nearest
    ]
    columns = [Column("token", align="left"), Column("id"), Column("cosine"), Column("norm", optional=1)]
    vectors = [
        strip(f"“{context.tokenizer.label(each)}”, row {each}", table[each], ref("wte.weight", each))
        for each in (id_, *nearest[:DRAWN])
    ]
    blocks: list[Block] = [Table(columns, rows, title=f"nearest of {whole(len(table))} rows by cosine"), *vectors]
    return View(
        "neighbours",
        "token embedding · nearest neighbours",
        _neighbours_sentence(context, cosines, nearest),
        blocks,
        context.parity(context.before("embed", position), vector, position),
    )


def _cosines(table: Numbers, vector: Numbers) -> Numbers:
    """Cosine of `vector` with each row of `table`, (V,); 0 for a row or vector of zeros. ROWS_AT_ONCE rows at a time."""
    cosines: Numbers = np.zeros(len(table))
    for start in range(0, len(table), ROWS_AT_ONCE):
        rows = table[start : start + ROWS_AT_ONCE]
        lengths = np.sqrt(np.einsum("vc,vc->v", rows, rows, dtype=np.float64)) * norm(vector)
        products = (rows @ vector.astype(np.float32)).astype(np.float64)
        np.divide(products, lengths, out=cosines[start : start + ROWS_AT_ONCE], where=lengths > 0)
        check()
    return cosines


def _neighbours_sentence(context: StageContext, cosines: Numbers, nearest: list[int]) -> str:
    if not nearest:
        return "The vocabulary has one token only."
    most = nearest[0]
    return (
        f"Of {whole(len(cosines) - 1)} other tokens, “{context.tokenizer.label(most)}” has the embedding nearest to that of "
        f"{context.here}: cosine {fixed(float(cosines[most]), 2)}. Training moves tokens that are used alike towards each other."
    )


@Stage(
    "position embeddings",
    "Each of the {facts.context:,} positions has a vector of its own, learned in training.",
    code={"gpt.py: GPT.hidden": ("start =", "end =", "x = self.drop")},
)
def positions(context: StageContext) -> View:
    """The position embeddings of the prompt as a heatmap, and the cosines between positions of the whole context."""
    table = context.weight("wpe.weight")
    tokens = len(context.ids)
    first = max(0, min(context.position - POSITIONS // 2, tokens - POSITIONS))
    shown = table[first : min(tokens, first + POSITIONS)]
    heatmap = Matrix(
        f"position embeddings {first + 1} to {first + len(shown)}, all {table.shape[1]} dimensions",
        [str(first + row + 1) for row in range(len(shown))],
        [str(dimension + 1) for dimension in range(table.shape[1])],
        Array.of(shown),
        ref=ref("wpe.weight", f"{first}:", ":"),
        selected=(context.position - first, 0),
        scale="diverging",
    )
    every = -(-len(table) // POSITIONS)
    places = np.arange(0, len(table), every)
    similar = _similarities(table[places])
    labels = [str(place + 1) for place in places.tolist()]
    similar_ref = ref("wpe.cosine", ":", ":") if every == 1 else ""  # the name counts rows one by one
    title = f"cosine similarity of positions 1 to {len(table)}" + (f", one in {every}" if every > 1 else "")
    blocks: list[Block] = [
        Matrix(title, labels, labels, Array.of(similar), ref=similar_ref, scale="diverging", limit=1.0, stride=every),
        heatmap,
    ]
    return View(
        "positions",
        "position embeddings",
        _positions_sentence(table),
        blocks,
        context.parity("pos_embed", table[:tokens], slice(None)),
    )


def _similarities(rows: Numbers) -> Numbers:
    """Cosines (n, n) between rows; 0 with a row of zeros."""
    lengths = np.sqrt(np.square(rows, dtype=np.float64).sum(-1, keepdims=True))
    directions = np.divide(rows, lengths, out=np.zeros(rows.shape), where=lengths > 0)
    cosines: Numbers = directions @ directions.T
    return cosines


def _positions_sentence(table: Numbers) -> str:
    """The mean cosine of neighbours against that of positions half a context apart."""
    if len(table) < 2:
        return "The context has one position only."
    directions = table.astype(np.float64) / np.maximum(np.linalg.norm(table, axis=-1, keepdims=True), 1e-30)
    near = float((directions[1:] * directions[:-1]).sum(-1).mean())
    apart = len(table) // 2
    far = float((directions[apart:] * directions[: len(table) - apart]).sum(-1).mean())
    return (
        f"Each of the {whole(len(table))} positions has a vector of its own, which training changes, as it does those of "
        f"tokens. Neighbours have a mean cosine of {fixed(near, 2)}, positions {apart} apart {fixed(far, 2)}."
    )
