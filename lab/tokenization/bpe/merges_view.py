"""The first merges of a text as a view, with the pieces that they make of a phrase."""

from collections.abc import Sequence
from itertools import pairwise

from lab.core.number_format import fixed, whole
from lab.tokenization.bpe.bpe_learner import BYTES, Merge
from lab.tokenization.bpe.bpe_session import BpeState
from lab.tokenization.bpe.word_counts import words_of
from lab.views.blocks import Block, Cell, Column, Paragraph, Table, View
from models.tokenizers.token_labels import with_spaces

NEWEST = 12
"""Merges listed, the newest first."""
MOST_WORDS = 12
"""Words of the phrase shown."""


def encode_with(merges: Sequence[Merge], word: bytes) -> list[int]:
    """The ids of a word under these merges: the earliest merge that applies comes first, as in encoding with BPE."""
    ids = list(word)
    ranks = {(merge.left, merge.right): merge.id for merge in merges}
    while True:
        found = [ranks[pair] for pair in pairwise(ids) if pair in ranks]
        if not found:
            return ids
        merge = merges[min(found) - BYTES]
        joined: list[int] = []
        at = 0
        while at < len(ids):
            is_pair = at + 1 < len(ids) and (ids[at], ids[at + 1]) == (merge.left, merge.right)
            joined.append(merge.id if is_pair else ids[at])
            at += 2 if is_pair else 1
        ids = joined


def merges_view(state: BpeState, phrase: str, agreement: str = "") -> View:
    """The pieces of the phrase, and the merges so far. `agreement` is a sentence on the run's own tokenizer, or empty."""
    words = words_of(phrase)[:MOST_WORDS]
    split = [[state.label(id_) for id_ in encode_with(state.merges, word.encode("utf-8", "replace"))] for word in words]
    size = sum(map(len, split))
    pieces = Table(
        [Column("word", "left"), Column(f"pieces after {_merges(len(state.merges))}", "left")],
        [
            [Cell(with_spaces(word.encode("utf-8", "replace"))), Cell("│".join(labels), style="strong")]
            for word, labels in zip(words, split, strict=True)
        ],
        title=f"the phrase in {whole(size)} token{'' if size == 1 else 's'}",
    )
    merges = Table(
        [
            Column("merge"),
            Column("left + right", "left"),
            Column("new token", "left"),
            Column("times"),
            Column("tokens left", optional=1),
        ],
        [
            [
                Cell(whole(merge.number), value=float(merge.number)),
                Cell(f"“{state.label(merge.left)}” + “{state.label(merge.right)}”"),
                Cell(f"“{state.label(merge.id)}”", style="strong"),
                Cell(whole(merge.count), value=float(merge.count), bar=merge.count / state.merges[0].count),
                Cell(whole(merge.tokens_left), value=float(merge.tokens_left)),
            ]
            for merge in state.merges[: -NEWEST - 1 : -1]
        ],
        title="merges so far, the newest first",
    )
    per_token = f", {fixed(state.text_bytes / state.tokens, 2)} bytes each" if state.tokens else ""
    blocks: list[Block] = [
        *([pieces] if words else []),
        *([merges] if state.merges else []),
        Paragraph(f"{state.text_sentence}, {whole(state.tokens)} tokens{per_token}. {agreement}".strip()),
    ]
    return View("merges", _merges(len(state.merges)), state.next_sentence, blocks)


def _merges(number: int) -> str:
    return f"{whole(number)} merge{'' if number == 1 else 's'}"
