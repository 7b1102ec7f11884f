"""Facts of a vocabulary in a corpus: never-used tokens, glitch candidates, and one token's numbers; in words and as a view."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from lab.core.number_format import counted, fixed, probability, significant, whole
from lab.data.token_file import Ids
from lab.runs.run_folder import Run
from lab.tokenization.embedding_distances import (
    EmbeddingDistances,
    embedding_distances,
    like_never_used,
    nearest_never_used,
)
from lab.tokenization.named_tokenizer import NamedTokenizer
from lab.tokenization.token_facts import hex_of, merge_table, origin, quoted_label
from lab.tokenization.token_frequencies import (
    CountProgress,
    TokenFrequencies,
    counted_corpus,
    frequencies_in,
    frequencies_in_text,
)
from lab.tokenization.vocabulary_index import ORDERS, Marks, VocabularyIndex, VocabularyOrder
from lab.views.blocks import Cell, Column, Table, View

if TYPE_CHECKING:
    from models.tokenizers.tokenizer import Tokenizer

VocabularyFilter = Literal["all", "never used", "glitch candidates", "half characters"]
FILTERS: tuple[VocabularyFilter, ...] = get_args(VocabularyFilter)

MOST_OF_STEM = 8
"""Other spellings of a token that are named."""


@dataclass(frozen=True, eq=False)
class VocabularyFacts:
    """A vocabulary and, as far as they are known, its tokens' frequencies in a corpus and their embeddings in a run's model."""

    index: VocabularyIndex
    frequencies: TokenFrequencies | None = None
    distances: EmbeddingDistances | None = None

    @property
    def size(self) -> int:
        return len(self.index)

    def marks(self, which: VocabularyFilter) -> Marks:
        """The tokens that the filter keeps, (vocab_size,)."""
        match which:
            case "never used":
                return self.never_used
            case "glitch candidates":
                return self.never_used | self.index.unreachable | self.like_never_used
            case "half characters":
                return self.index.partial
            case _:
                return np.ones(self.size, bool)

    @property
    def never_used(self) -> Marks:
        """Tokens that the corpus does not hold; none where there is no corpus."""
        return np.zeros(self.size, bool) if self.frequencies is None else np.asarray(self.frequencies.counts == 0)

    @property
    def like_never_used(self) -> Marks:
        """Tokens that the corpus holds, with an embedding like those of the never-used ones; none where there is no model."""
        if self.frequencies is None or self.distances is None:
            return np.zeros(self.size, bool)
        return like_never_used(self.distances, self.frequencies.counts)

    def ordered(self, marks: Marks, order: VocabularyOrder, *, reverse: bool = False) -> Ids:
        """The marked ids in this order, as far as what it needs is known: see `VocabularyIndex.ordered`."""
        counts = self.frequencies.counts if self.frequencies is not None else None
        to_mean = self.distances.to_mean if self.distances is not None else None
        return self.index.ordered(marks, order, counts, to_mean, reverse=reverse)

    @property
    def orders(self) -> list[VocabularyOrder]:
        """The orders that what is known allows."""
        known: dict[VocabularyOrder, object] = {"frequency": self.frequencies, "embedding": self.distances}
        return [order for order in ORDERS if known.get(order, self) is not None]

    @property
    def sentence(self) -> str:
        """The number of never-used tokens, and the size of the corpus in tokens."""
        if self.frequencies is None:
            return f"{whole(self.size)} tokens."
        never, corpus = self.frequencies.never_used, self.frequencies.corpus
        size = f"{counted(self.frequencies.total, 'token')} long, {fixed(self.bytes_per_token, 2)} bytes per token"
        if not never:
            return f"All {whole(self.size)} tokens occur in {corpus} ({size})."
        return f"{whole(never)} of {whole(self.size)} tokens never occur in {corpus} ({size})."

    @property
    def bytes_per_token(self) -> float:
        """Bytes of text that a token of the corpus stands for; NaN where there is none. A special token is no text."""
        if self.frequencies is None or not self.frequencies.total:
            return math.nan
        return int((self.frequencies.counts * self.index.lengths)[~self.index.special].sum()) / self.frequencies.total

    @property
    def candidates_sentence(self) -> str:
        """The glitch candidates by reason, and how many never-used tokens are nearest to the mean embedding."""
        parts = []
        if self.frequencies is not None:
            parts.append(f"{whole(self.frequencies.never_used)} never used")
        if self.distances is not None and self.distances.to_never_used is not None:
            parts.append(f"{whole(int(self.like_never_used.sum()))} used with a like embedding")
        parts.append(f"{whole(int(self.index.unreachable.sum()))} unreachable")
        words = f"Glitch candidates: {', '.join(parts)}."
        if self.frequencies is None or self.distances is None or not (never := self.frequencies.never_used):
            return words
        nearest = nearest_never_used(self.distances, self.frequencies.counts)
        return f"{words} Of the {whole(never)} embeddings nearest to the mean, {whole(nearest)} are never used."


def vocabulary_facts(
    index: VocabularyIndex,
    named: NamedTokenizer,
    run_name: str,
    source: str,
    encoding: str,
    cleaning: tuple[str, ...],
    progress: CountProgress,
) -> VocabularyFacts:
    """The facts in the corpus that `counted_corpus` gives. Raises UserError where run or text cannot be read."""
    corpus = counted_corpus(named, run_name, source, encoding, cleaning)
    if isinstance(corpus, Run):
        return facts_in_run(index, corpus, progress)
    return VocabularyFacts(index, frequencies_in_text(corpus, index.tokenizer, progress))


def facts_in_run(index: VocabularyIndex, run: Run, progress: CountProgress | None = None) -> VocabularyFacts:
    """The facts in the training part of a run that has this vocabulary, and in its model where it has weights.
    Raises UserError where its tokens or weights cannot be read."""
    frequencies = frequencies_in(run, index.tokenizer, progress)
    if run.config.model.vocab_size != len(index):  # the same vocabulary, but for an end-of-text token
        return VocabularyFacts(index, frequencies)
    has_weights = any(file.name in ("best", "last", "previous") for file in run.checkpoints())
    return VocabularyFacts(index, frequencies, embedding_distances(run, frequencies.counts) if has_weights else None)


def origin_of(tokenizer: "Tokenizer", id: int) -> str:
    """The two tokens that this one is the merge of: `" d" + "og"`; `a byte`, `special` or `unused` for the others."""
    parents = tokenizer.parents(id)
    if parents is None:
        return origin(tokenizer, id)
    return " + ".join(quoted_label(tokenizer, parent) for parent in parents)


def token_view(facts: VocabularyFacts, id: int) -> View:
    """One token's numbers and its merges down to single bytes."""
    tokenizer = facts.index.tokenizer
    rows = [[Cell(name), Cell(value)] for name, value in token_facts(facts, id)]
    table = Table([Column("", "left"), Column("", "left")], rows)
    return View("vocabulary-token", f"token {id}: {quoted_label(tokenizer, id)}", "", [table, merge_table(tokenizer, id)])


def token_facts(facts: VocabularyFacts, id: int) -> list[tuple[str, str]]:
    """Name and value of everything known of a token but its merges."""
    index, tokenizer = facts.index, facts.index.tokenizer
    token = index.tokens[id]
    found = [("bytes", f"{len(token)}: {hex_of(token)}")]
    if not token:
        found.append(("text", "none: a row of the embedding that no token has"))
    elif index.partial[id]:
        found.append(("text", "no whole character alone"))
    elif index.special[id]:
        found.append(("text", "special: plain text that looks like it is not it"))
    elif index.unreachable[id]:
        ids = tokenizer.encode(token.decode())
        found.append(("text", "its own text is encoded as " + " ".join(quoted_label(tokenizer, each) for each in ids[:6])))
    if facts.frequencies is not None:
        count, total = int(facts.frequencies.counts[id]), facts.frequencies.total
        share = f" ({probability(count / total, 1, 2)})" if count else ""
        found.append(("count", f"{whole(count)}{share}" if count else "never occurs"))
        if count:
            found.append(("rank by count", f"{whole(facts.frequencies.rank(id))} of {whole(facts.size)}"))
    if facts.distances is not None:
        found += _embedding_facts(facts.distances, id, facts.size)
    others = [int(each) for each in index.stem(id) if each != id]
    if others and token.strip(b" "):
        more = f" and {whole(len(others) - MOST_OF_STEM)} more" if len(others) > MOST_OF_STEM else ""
        found.append(("also spelled", " ".join(quoted_label(tokenizer, each) for each in others[:MOST_OF_STEM]) + more))
    return found


def _embedding_facts(distances: EmbeddingDistances, id: int, size: int) -> list[tuple[str, str]]:
    nearer = int((distances.to_mean < distances.to_mean[id]).sum()) + 1
    found = [
        ("embedding norm", f"{significant(float(distances.norm[id]))} at step {whole(distances.step)}"),
        ("to the mean", f"{significant(float(distances.to_mean[id]))}, nearest {whole(nearer)} of {whole(size)}"),
    ]
    if distances.to_never_used is not None:
        found.append(("to never-used", significant(float(distances.to_never_used[id]))))
    if distances.moved is not None:
        found.append(("moved since init", significant(float(distances.moved[id]))))
    return found
