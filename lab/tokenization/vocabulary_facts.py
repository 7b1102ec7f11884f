"""Facts of a vocabulary in a corpus: never-used tokens, glitch candidates, and one token's numbers; in words and as a view.

Distances of the token embeddings of a run's model are to their mean, to the never-used ones, and from their place at step 0.
Tokens that a model hardly met in training make it behave oddly. Rumbelow and Watkins 2023 ("SolidGoldMagikarp") found some among
the embeddings nearest to the mean of all; Land and Bartolo 2024 ("Fishing for Magikarp") find them by how near their embeddings
lie to those of tokens that are known to be unused.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from lab.core.child_process import Progress
from lab.core.errors import DamagedFileError, UserError
from lab.core.number_format import counted, fixed, probability, significant, whole
from lab.core.safetensors_file import opened_with_header
from lab.data.token_file import Ids
from lab.runs.run_folder import Run, no_weights_yet
from lab.tokenization.named_tokenizer import NamedTokenizer
from lab.tokenization.token_facts import hex_of, merge_table, origin, quoted_label
from lab.tokenization.token_frequencies import TokenFrequencies, counted_corpus, frequencies_in, frequencies_in_text
from lab.tokenization.vocabulary_index import Marks, VocabularyIndex, VocabularyOrder
from lab.views.blocks import Cell, Column, Table, View

if TYPE_CHECKING:
    from models.tokenizers.tokenizer import Tokenizer

NUMPY_TYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}
"""Types of the stored floats in numpy, which has no bfloat16: its two bytes are the upper half of a float32."""


NAMES = ("wte.weight", "model.wte.weight")
"""The embedding in a file of weights, and in a checkpoint of the trainer."""
ROWS = 4096
"""Embeddings read at a time."""
NEAR = 95
"""Percentile of the never-used tokens' distances below which another token's embedding counts as like theirs."""

Distances = NDArray[np.float32]


def map_embedding(path: Path) -> tuple[NDArray[Any], int]:
    """The token embedding in a file of weights as it is stored, (vocab_size, width), for `rows_of` to read; and its step.

    Raises:
        FileNotFoundError: if there is no such file.
        DamagedFileError: if it cannot be used, or holds no such matrix.
    """
    with opened_with_header(path) as (file, header):
        name = next((each for each in NAMES if each in header.tensors), None)
        if name is None:
            raise DamagedFileError(path, f"holds no {NAMES[0]}")
        entry = header.tensors[name]
        if entry.dtype not in NUMPY_TYPES or len(entry.shape) != 2 or 0 in entry.shape:
            raise DamagedFileError(path, f"holds {name} as something other than a matrix of floating-point numbers")
        numbers = np.memmap(file, NUMPY_TYPES[entry.dtype], "r", file.tell() + entry.data_offsets[0], tuple(entry.shape))
        return numbers.view(np.ndarray), header.step


def rows_of(matrix: NDArray[Any]) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """The rows of a stored matrix in float32, `ROWS` at a time, each time with the place of the first."""
    for at in range(0, len(matrix), ROWS):
        part = matrix[at : at + ROWS]
        yield at, (part.astype(np.uint32) << 16).view(np.float32) if part.dtype == np.uint16 else part.astype(np.float32)


@dataclass(frozen=True, eq=False)
class EmbeddingDistances:
    """Euclidean distances of each token's embedding, (vocab_size,) each, at `step`."""

    step: int
    norm: Distances
    to_mean: Distances
    """To the mean of all embeddings."""
    moved: Distances | None
    """From its place at step 0; None where that is not kept."""
    to_never_used: Distances | None
    """To the mean of the embeddings of the tokens that the training part never uses; None where it uses all."""


def embedding_distances(run: Run, counts: Ids) -> EmbeddingDistances:
    """Distances of the embeddings of the run's best weights, or the last; `counts` are the tokens' in the training part.
    Raises UserError if there are no weights yet, or they cannot be read."""
    checkpoint = next((file for file in run.checkpoints() if file.name in ("best", "last", "previous")), None)
    if checkpoint is None:
        raise UserError(no_weights_yet(run))
    try:
        now, step = map_embedding(checkpoint.path)
    except FileNotFoundError:
        raise UserError(no_weights_yet(run)) from None
    config = run.config.model
    if now.shape != (config.vocab_size, config.width):
        raise UserError(f"{checkpoint.path} does not fit the model of {run.name}: its token embedding has another shape.")
    never = counts == 0
    sums = [(rows.sum(0, np.float64), rows[never[at : at + ROWS]].sum(0, np.float64)) for at, rows in rows_of(now)]
    total, of_never = np.sum(sums, axis=0)
    centers = [np.zeros(config.width), total / len(now), of_never / max(1, int(never.sum()))]
    with np.errstate(over="ignore", invalid="ignore"):  # of absurd weights; it is told below
        distances = [[np.linalg.norm(rows - center.astype(np.float32), axis=1) for center in centers] for _, rows in rows_of(now)]
    norm, to_mean, to_never = np.concatenate(distances, axis=1)
    if not bool(np.isfinite(to_mean).all()):
        raise UserError(f"{checkpoint.path} holds NaN or infinity in its token embedding.")
    return EmbeddingDistances(step, norm, to_mean, _moved(run, now), to_never if never.any() else None)


def _moved(run: Run, now: NDArray[Any]) -> Distances | None:
    first = next((file for file in run.snapshots() if file.step == 0), None)
    if first is None:
        return None
    try:
        before, _ = map_embedding(first.path)
    except (FileNotFoundError, UserError):
        return None
    if before.shape != now.shape:
        return None
    both = zip(rows_of(now), rows_of(before), strict=True)
    return np.concatenate([np.linalg.norm(rows - old, axis=1) for (_, rows), (_, old) in both])


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
        """Tokens that the corpus holds, with an embedding as near to the mean of the never-used ones as 95% of these; none where
        there is no model."""
        if self.frequencies is None or self.distances is None:
            return np.zeros(self.size, bool)
        to_never = self.distances.to_never_used
        if to_never is None:
            return np.zeros(self.size, bool)
        return np.asarray(~self.never_used & (to_never <= np.percentile(to_never[self.never_used], NEAR)))

    @property
    def _sort_keys(self) -> dict[VocabularyOrder, NDArray[Any]]:
        keys: dict[VocabularyOrder, NDArray[Any]] = {"id": np.arange(self.size), "length": -self.index.lengths}
        if self.frequencies is not None:
            keys["frequency"] = -self.frequencies.counts
        if self.distances is not None:
            keys["embedding"] = self.distances.to_mean
        return keys

    @property
    def orders(self) -> list[VocabularyOrder]:
        """The orders that what is known allows."""
        return list(self._sort_keys)

    def ordered(self, marks: Marks, order: VocabularyOrder, *, reverse: bool = False) -> Ids:
        """The marked ids: by id, or the longest, the most frequent, or those with the embedding nearest to the mean first, and by
        id where two are alike or what the order needs is not known; `reverse` turns that round."""
        keys, ids = self._sort_keys, np.flatnonzero(marks)
        ids = ids[np.argsort(keys.get(order, keys["id"])[ids], kind="stable")]
        return ids[::-1] if reverse else ids

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
        nearest = np.argsort(self.distances.to_mean, kind="stable")[:never]
        are = int(self.never_used[nearest].sum())
        return f"{words} Of the {whole(never)} embeddings nearest to the mean, {whole(are)} are never used."


def vocabulary_facts(
    index: VocabularyIndex,
    named: NamedTokenizer,
    run_name: str,
    source: str,
    encoding: str,
    cleaning: tuple[str, ...],
    progress: Progress,
) -> VocabularyFacts:
    """The facts in the corpus that `counted_corpus` gives. Raises UserError where run or text cannot be read."""
    corpus = counted_corpus(named, run_name, source, encoding, cleaning)
    if isinstance(corpus, Run):
        return facts_in_run(index, corpus, progress)
    return VocabularyFacts(index, frequencies_in_text(corpus, index.tokenizer, progress))


def facts_in_run(index: VocabularyIndex, run: Run, progress: Progress | None = None) -> VocabularyFacts:
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
