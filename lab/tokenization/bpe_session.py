"""BPE being learned, as a screen follows it: one text, its merges forward and back, and what there is to see after each."""

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

from lab.core.number_format import counted, fixed, significant, whole
from lab.tokenization.bpe_by_steps import BYTES, BpeLearner, Merge, MergedWords, RankedPair
from lab.tokenization.learnable_text import LearnableText, words_of
from lab.views.blocks import Block, Cell, Column, Paragraph, Table, View
from models.tokenizers.token_labels import with_spaces
from models.tokenizers.tokenizer import Tokenizer

MOST_PAIRS = 500
"""Pairs that are ranked for the screen."""

MOST_NEW = 10
"""Newest tokens that are highlighted in the text."""


@dataclass(frozen=True, eq=False)
class BpeState:
    """Everything to see of BPE after some merges. A later merge does not change it."""

    name: str
    """Name of the text: `the training part of moby-dick`."""
    text_bytes: int
    tokens: int
    """Tokens of the text under the merges so far."""
    merges: tuple[Merge, ...]
    vocabulary: tuple[bytes, ...]
    labels: Sequence[str]
    """Each token for a terminal, at least those of the vocabulary: learning again gives each id the same token."""
    pairs: tuple[RankedPair, ...]
    """The most common pairs, in the order in which they would be merged."""
    different_pairs: int
    tied: int
    """Pairs that occur as often as the first of them; 0 where no pair is left."""
    excerpt_ids: tuple[int, ...]
    """The beginning of the text as tokens."""
    newest: int
    """The lowest id of the tokens to highlight: those made since the last request, at most `MOST_NEW`. One above all ids where
    there are none."""

    def label(self, id: int) -> str:
        """The token for a terminal: spaces and control characters made visible."""
        return self.labels[id]

    def spelled(self, *ids: int) -> str:
        """The tokens joined, every space made visible."""
        return with_spaces(b"".join(self.vocabulary[id] for id in ids))

    def quoted(self, id: int) -> str:
        """The token's label in quotation marks."""
        return f'"{self.label(id)}"'

    @property
    def counts_sentence(self) -> str:
        made = f"{counted(len(self.merges), 'merge')} · vocabulary {whole(len(self.vocabulary))}"
        per_token = f" · {significant(self.text_bytes / self.tokens)} bytes per token" if self.tokens else ""
        return f"{made} · {counted(self.tokens, 'token')}{per_token}"

    @property
    def text_sentence(self) -> str:
        return f"{self.name}: {counted(self.text_bytes, 'byte')}"

    @property
    def next_sentence(self) -> str:
        """The merge to come and, where pairs tie, the rule that chooses it."""
        if not self.pairs:
            return "Every word is a single token: no pair is left to merge."
        pair = self.pairs[0]
        words = f"{self.quoted(pair.left)} + {self.quoted(pair.right)}"
        if self.tied == 1:
            return f"Next: {words}, the most common pair: {_times(pair.count)}."
        return (
            f"Tie: {whole(self.tied)} pairs occur {_times(pair.count)}. The lowest ids go first, the left one before the right: "
            f"next {words} ({pair.left}, {pair.right})."
        )

    def parts(self, id: int) -> str:
        """The token's merge, and those of its parts, down to single bytes: `"␣the" = (␣ t) (h e)`."""
        if id < BYTES:
            return f"{self.quoted(id)} is the byte {id}"
        merge = self.merges[id - BYTES]
        return f"{self.quoted(id)} = {self._nested(merge.left)} {self._nested(merge.right)}"

    def _nested(self, id: int) -> str:
        if id < BYTES:
            return self.spelled(id)
        merge = self.merges[id - BYTES]
        return f"({self._nested(merge.left)} {self._nested(merge.right)})"


class BpeSession:
    """A learner and the beginning of its text, which goes through the same merges."""

    def __init__(self, text: LearnableText) -> None:
        self._name = text.name
        self._learner = BpeLearner(text.words)
        words = words_of(text.excerpt)
        self._excerpt = MergedWords([word.encode() for word in words], [1] * len(words))
        self._labels = [with_spaces(token) for token in self._learner.vocabulary]
        self._lock = threading.Lock()
        self._unfinished = False
        self._since = BYTES
        """Tokens before the merges of the last request."""
        self.state = self._snapshot(BYTES)

    def move(self, steps: int, seconds: float = float("inf")) -> int:
        """Make `steps` merges, or undo as many for a negative number, and describe the result in `state`.

        Stops early after so many `seconds`, and where there is nothing to merge or to undo. Returns the steps that are left, 0
        where none can be made. Other threads may run after each; one that moves, too, waits for its turn.
        """
        with self._lock:
            end = time.monotonic() + seconds
            if not self._unfinished:
                self._since = len(self._learner.vocabulary)
            left = abs(steps)
            while left and (self._forward() if steps > 0 else self._back()):
                left -= 1
                time.sleep(0)
                if time.monotonic() > end:
                    break
            else:
                left = 0
            self._unfinished = left > 0
            size = len(self._learner.vocabulary)
            self.state = self._snapshot(max(self._since, size - MOST_NEW) if steps > 0 else size)
            return left if steps > 0 else -left

    def _forward(self) -> bool:
        merge = self._learner.merge()
        if merge:
            self._excerpt.merge(merge.left, merge.right, merge.id)
            if merge.id == len(self._labels):
                self._labels.append(with_spaces(self._learner.vocabulary[merge.id]))
        return merge is not None

    def _back(self) -> bool:
        merge = self._learner.step_back()
        if merge:
            self._excerpt.split(merge.left, merge.right, merge.id)
        return merge is not None

    def _snapshot(self, newest: int) -> BpeState:
        learner = self._learner
        found = learner.pairs.most_common()
        return BpeState(
            self._name,
            learner.bytes,
            learner.tokens,
            tuple(learner.merges),
            tuple(learner.vocabulary),
            self._labels,
            tuple(learner.pairs.ranked(MOST_PAIRS)),
            len(learner.pairs),
            found[1] if found else 0,
            tuple(self._excerpt.ids()),
            newest,
        )


def agreement_sentence(state: BpeState, tokens: Sequence[bytes], name: str) -> str:
    """The merges so far against the `tokens` of the tokenizer that the run `name` learned."""
    both = zip(state.vocabulary[BYTES:], tokens[BYTES:], strict=False)
    other = next((number for number, (ours, theirs) in enumerate(both, 1) if ours != theirs), None)
    of_run = len(tokens) - BYTES
    if other is not None:
        return f"Merge {whole(other)} is not that of {name}'s tokenizer."
    if len(state.merges) > of_run:
        return f"{name}'s tokenizer has the first {whole(of_run)} of these merges."
    if not state.merges:
        return f"{name}'s tokenizer has {counted(of_run, 'merge')}."
    same = "merge" if len(state.merges) == 1 else f"{whole(len(state.merges))}"
    return f"The same as the first {same} of the {counted(of_run, 'merge')} of {name}'s tokenizer."


def _times(count: int) -> str:
    return "once" if count == 1 else f"{whole(count)} times"


NEWEST = 12
"""Merges listed, the newest first."""
MOST_WORDS = 12
"""Words of the phrase shown."""


def merges_view(state: BpeState, phrase: str, agreement: str = "") -> View:
    """The pieces of the phrase, and the merges so far. `agreement` is a sentence on the run's own tokenizer, or empty."""
    words = words_of(phrase.encode("utf-8", "replace").decode())[:MOST_WORDS]
    tokenizer = Tokenizer("bpe", state.vocabulary)
    split = [[state.label(id_) for id_ in tokenizer.encode(word)] for word in words]
    size = sum(map(len, split))
    pieces = Table(
        [Column("word", "left"), Column(f"pieces after {counted(len(state.merges), 'merge')}", "left")],
        [
            [Cell(with_spaces(word.encode())), Cell("│".join(labels), style="strong")]
            for word, labels in zip(words, split, strict=True)
        ],
        title=f"the phrase in {counted(size, 'token')}",
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
        Paragraph(f"{state.text_sentence}, {counted(state.tokens, 'token')}{per_token}. {agreement}".strip()),
    ]
    return View("merges", counted(len(state.merges), "merge"), state.next_sentence, blocks)
