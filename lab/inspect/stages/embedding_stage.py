"""The prompt's tokens, and their embeddings: token vector + position vector."""

from typing import TYPE_CHECKING

import numpy as np

from lab.core.number_format import significant
from lab.inspect.stages.stage_context import TOKEN_KEYS, PromptTokens, Stage, StageContext
from lab.views.blocks import Block, Cell, Column, Paragraph, Parity, Table, View
from lab.views.number_refs import ref
from lab.views.number_tables import around, figures, norm, stacked, vectors_table

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
