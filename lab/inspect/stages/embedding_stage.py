"""The prompt's tokens, their embeddings (token vector + position vector), and the tables that these come from."""

from typing import TYPE_CHECKING

import numpy as np

from lab.core.number_format import fixed, significant, whole
from lab.inspect.stages.stage_context import TOKEN_KEYS, PromptTokens, Stage, StageContext
from lab.views.blocks import Array, Block, Cell, Column, Matrix, Paragraph, Parity, Table, View
from lab.views.number_refs import ref
from lab.views.number_tables import Numbers, around, by_columns, figures, norm, number, stacked, strip, vectors_table
from models.check import check

if TYPE_CHECKING:
    from models.tokenizers.tokenizer import Node

ROWS = 200
"""Tokens listed at one time, those nearest to the position."""


@Stage(
    "tokens",
    "The prompt is cut into {tokens} out of a vocabulary of {facts.vocab_size:,}{seen}.",
    TOKEN_KEYS,
    layer_key=False,
    code={"tokenizers/tokenizer.py: Tokenizer.encode": ("return self._encode_valid",)},
)
def tokens(context: StageContext) -> View:
    return tokens_view(context.prompt_tokens)


def tokens_view(prompt: PromptTokens) -> View:
    """The prompt's tokens with ids and bytes, and the merge tree of the chosen one."""
    tokenizer, id_ = prompt.tokenizer, prompt.ids[prompt.position]
    data = tokenizer.token_bytes(id_)
    shown = around(len(prompt.ids), prompt.position, ROWS)
    rows = [
        [
            Cell(prompt.name(index)),
            Cell(str(prompt.ids[index]), value=prompt.ids[index], ref=ref("tokens", index)),
            Cell(tokenizer.token_bytes(prompt.ids[index]).hex(" ")),
            _rank(prompt, prompt.ids[index]),
        ]
        for index in shown
    ]
    columns = [Column("token", align="left"), Column("id"), Column("bytes", align="left"), Column("merge", optional=1)]
    blocks: list[Block] = [Table(columns, rows, title="the prompt", selected=prompt.position - shown.start)]
    if len(shown) < len(prompt.ids):
        blocks.append(Paragraph(f"Tokens {shown.start + 1} to {shown.stop} of {len(prompt.ids)}."))
    tree = tokenizer.tree(id_)
    leaves = _leaves(tree)
    if len(leaves) > 1:
        blocks.append(Table(columns, _branches(prompt, tree, "", ""), title=f"merge tree of “{prompt.label(prompt.position)}”"))
    merged = b"".join(byte for index in shown for byte in _leaves(tokenizer.tree(prompt.ids[index])))
    vocabulary = b"".join(tokenizer.token_bytes(prompt.ids[index]) for index in shown)
    wrong = sum(a != b for a, b in zip(merged, vocabulary, strict=True))
    parity = Parity("bytes of the merge trees · vocabulary", float(wrong), len(merged))
    return View("tokens", "tokens", _sentence(prompt, len(data), len(leaves)), blocks, parity)


def _sentence(prompt: PromptTokens, size: int, leaves: int) -> str:
    id_ = prompt.ids[prompt.position]
    where = f"“{prompt.label(prompt.position)}” is token {prompt.position + 1} of {len(prompt.ids)}"
    if prompt.tokenizer.merge_rank(id_) is not None:
        merges = "1 merge" if leaves == 2 else f"{leaves - 1} merges"
        return f"{where}: id {id_}, {size} bytes joined by {merges}."
    kinds = {"special": "a special token, which no text encodes to", "unused": "an id without a token"}
    byte = "a single byte" + (", the newline" if prompt.label(prompt.position) == "␊" else "")
    kind = kinds.get(prompt.tokenizer.kind_of(id_), byte)
    return f"{where}: id {id_}, {kind}."


def _rank(prompt: PromptTokens, id_: int) -> Cell:
    rank = prompt.tokenizer.merge_rank(id_)
    return Cell(
        prompt.tokenizer.kind_of(id_) if rank is None else str(rank + 1), value=None if rank is None else rank + 1, style="dim"
    )


def _branches(prompt: PromptTokens, node: "Node", lead: str, below: str) -> list[list[Cell]]:
    """A row for the node and each of its descendants, drawn as a tree."""
    row = [
        Cell(lead + prompt.tokenizer.label(node.id)),
        Cell(str(node.id), value=node.id),
        Cell(node.bytes.hex(" ")),
        _rank(prompt, node.id),
    ]
    rows = [row]
    if node.left and node.right:
        rows += _branches(prompt, node.left, below + "├ ", below + "│ ")
        rows += _branches(prompt, node.right, below + "└ ", below + "  ")
    return rows


def _leaves(node: "Node") -> list[bytes]:
    if node.left and node.right:
        return _leaves(node.left) + _leaves(node.right)
    return [node.bytes]


@Stage(
    "embedding + position",
    "The token's row of the embedding table, {facts.width:,} numbers, plus the row of its position starts the stream.",
    TOKEN_KEYS,
    computes="resid_pre",
    code={"gpt.py: GPT.hidden": ("x = self.drop",)},
)
def embed(context: StageContext) -> View:
    """Token vector + position vector = residual stream."""
    position, id_, width = context.position, context.ids[context.position], context.config.width
    # The weights themselves, not the trace's copies of them, so that the sum below is independent of the trace.
    token = context.weight("wte.weight")[id_].astype(np.float64)
    positional = context.weight("wpe.weight")[position].astype(np.float64)
    total = token + positional
    names = ("embed", "pos_embed", context.before("blocks.0.resid_pre", position))
    vectors = (token, positional, total)
    table = vectors_table(list(zip(("token", "+ position", "= residual stream"), vectors, names, strict=True)), position)
    norms = by_columns(
        "norms",
        (Column("vector", "left"), ("token", "position", "residual stream")),
        ("norm", (figures(norm(each), 4, ref(f"{name}.norm", position)) for each, name in zip(vectors, names, strict=True))),
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
    cosines = context.traced.get_or_compute("neighbours", id_, lambda: _cosines(table, vector))
    others = np.where(np.arange(len(cosines)) == id_, -np.inf, cosines)
    nearest: list[int] = np.argsort(-others, kind="stable")[: min(NEIGHBOURS, len(others) - 1)].tolist()
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
    shown = around(len(context.ids), context.position, POSITIONS)
    heatmap = Matrix(
        f"position embeddings {shown.start + 1} to {shown.stop}, all {table.shape[1]} dimensions",
        [str(row + 1) for row in shown],
        [str(dimension + 1) for dimension in range(table.shape[1])],
        Array.of(table[shown.start : shown.stop]),
        ref=ref("wpe.weight", f"{shown.start}:", ":"),
        selected=(context.position - shown.start, 0),
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
        context.parity("pos_embed", table[: len(context.ids)], slice(None)),
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
