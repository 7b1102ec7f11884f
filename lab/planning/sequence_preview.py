"""A text on its way to training windows: its split, its tokens as a run would make them, and the windows cut from these."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import msgspec

from lab.core.child_process import Progress, Reply, answer, ask_process
from lab.core.errors import UserError
from lab.core.number_format import count, probability, significant, whole
from lab.data.corpus import CorpusFile
from lab.data.statistics.copied_share import copied_in_corpus
from lab.data.text_source import open_corpus
from lab.data.train_val_split import pieces, split_text
from lab.planning.default_hyperparameters import default_batch, default_vocabulary
from lab.runs.run_schema import DEFAULT_RULES
from lab.runs.schema_parts import LAST_TENTH, CopiedShare, Holdout
from models.config import PRESETS, ModelConfig, TokenizerError, TokenizerKind
from models.parameter_count import parameter_count
from models.tokenizers.tokenizer import Tokenizer

SAMPLE_BYTES = 1 << 20
"""Bytes of the training part that are tokenized; of a longer one the number of tokens is estimated from these."""
BORDER_BYTES = 160
"""Bytes of text kept on each side of the border, to show."""
COMPUTE_OPTIMAL = 20.0
"""Training tokens per parameter of least loss for a given amount of compute, about: Hoffmann et al. 2022, "Training
Compute-Optimal Large Language Models" (Chinchilla)."""
STEPS = 2000
"""Steps with the default batch, for which the number of epochs is told."""


@dataclass(frozen=True)
class TextSplit:
    """A cleaned text cut into training and validation part, with the beginning of the training part in pieces to tokenize."""

    bytes: int
    split: int
    """Byte at which the validation part begins."""
    documents: tuple[CorpusFile, ...]
    """Those that hold text."""
    starts: tuple[int, ...]
    """Byte at which each of them begins."""
    before: str
    after: str
    """Text on the two sides of the border."""
    sample: tuple[tuple[str, bool], ...]
    """Pieces of the training part, from its beginning; True where a document begins that is not the first."""
    sample_bytes: int
    holdout: Holdout = LAST_TENTH
    copied: CopiedShare | None = None

    @property
    def is_whole(self) -> bool:
        """True if the sample is all of the training part."""
        return self.sample_bytes == self.split


def read_split(
    source: str,
    encoding: str | None,
    progress: Callable[[int, int], None] = lambda done, total: None,
    cleaning: tuple[str, ...] = DEFAULT_RULES,
    holdout: Holdout = LAST_TENTH,
) -> TextSplit:
    """Clean and split the text as a run does, reading it five times. `progress` gets a fifth of the bytes that
    each time has read, and those of the files.
    Raises UserError where the text cannot be read."""
    corpus = open_corpus(source, encoding, cleaning=cleaning, holdout=holdout)

    def fifth(number: int, times: int = 1) -> Callable[[int, int], None]:
        return lambda done, total: progress(
            round((number + times * done / max(1, total)) / 5 * corpus.file_bytes), corpus.file_bytes
        )

    corpus.measure(fifth(0))
    split = split_text(corpus, fifth(1))
    tell, searching = fifth(2), fifth(3, 2)
    sample: list[tuple[str, bool]] = []
    starts: list[int] = []
    sampled = 0
    before = after = b""
    for offset, piece, begins in pieces(corpus, [split.split], split.held):
        tell(offset, split.bytes)
        if begins:
            starts.append(offset)
        if offset < split.split:
            before = (before + piece[-BORDER_BYTES:])[-BORDER_BYTES:]
            if sampled == offset and sampled < SAMPLE_BYTES:
                sample.append((piece.decode(), begins and offset > 0))
                sampled += len(piece)
        elif len(after) < BORDER_BYTES:
            after = (after + piece[:BORDER_BYTES])[:BORDER_BYTES]
    return TextSplit(
        split.bytes,
        split.split,
        tuple(file for file in corpus.files if file.bytes),
        tuple(starts),
        before.decode(errors="ignore"),  # a character cut by the limit is left out
        after.decode(errors="ignore"),
        tuple(sample),
        sampled,
        corpus.holdout,
        copied_in_corpus(corpus, split, lambda share: searching(round(1000 * share), 1000)),
    )


@dataclass(frozen=True)
class TrainingTokens:
    """The tokens of the training part's beginning."""

    tokenizer: Tokenizer
    kind: TokenizerKind
    ids: tuple[int, ...]
    text: TextSplit

    @cached_property
    def train_tokens(self) -> int:
        """Tokens of the whole training part, estimated where the sample is not all of it."""
        return len(self.ids) if self.text.is_whole else round(len(self.ids) * self.text.split / max(1, self.text.sample_bytes))

    def window(self, index: int, context: int) -> tuple[int, ...]:
        """`context` tokens and the one after them, from `index * context` on."""
        return self.ids[index * context : (index + 1) * context + 1]

    def windows_to_show(self, context: int) -> int:
        """Windows in `ids`, as many as an epoch takes of them."""
        return windows_per_epoch(len(self.ids), context)

    def model(self, preset: str) -> ModelConfig:
        return PRESETS[preset].config(self.tokenizer.vocab_size)


def tokenize_start(text: TextSplit, kind: TokenizerKind, preset: str) -> TrainingTokens:
    """Tokenize the sample. `bpe` learns from it the vocabulary that a run with this preset has by default: that run's own merges,
    where the sample is the whole training part.
    Raises UserError if the vocabulary cannot be made or found."""
    several = len(text.documents) > 1
    try:
        match kind:
            case "bytes":
                tokenizer = Tokenizer.bytes_(end_of_text=several)
            case "gpt2":
                tokenizer = Tokenizer.gpt2()
            case "bpe":
                size = default_vocabulary(preset, text.bytes)
                tokenizer = Tokenizer.train((piece for piece, _ in text.sample), size, end_of_text=several)
    except TokenizerError as error:
        raise UserError(str(error)) from error
    ids: list[int] = []
    for piece, begins in text.sample:
        if begins and tokenizer.end_of_text is not None:
            ids.append(tokenizer.end_of_text)
        ids += tokenizer.encode(piece)
    return TrainingTokens(tokenizer, kind, tuple(ids), text)


def windows_per_epoch(tokens: int, context: int) -> int:
    """As `lab.data.data_order` cuts them: an epoch begins at an offset of its own, and leaves up to two windows out."""
    return max(1, (tokens - 1) // context - 1) if tokens > context else 0


def compute_optimal_sentence(tokens: int, config: ModelConfig) -> str:
    """The tokens per parameter beside Chinchilla's, in words."""
    parameters = parameter_count(config)
    ratio = tokens / parameters
    wanted = COMPUTE_OPTIMAL * parameters
    found = f"Hoffmann et al. (2022) found about {COMPUTE_OPTIMAL:.0f} best for a fixed amount of compute, each token seen once"
    if ratio >= COMPUTE_OPTIMAL:
        return f"{found}; this text has {_times(ratio / COMPUTE_OPTIMAL)} that."
    epochs = STEPS * default_batch(config.context) * config.context / tokens if tokens else 0.0
    again = (
        f"a small run sees its text again instead, {whole(STEPS)} steps are {_number(epochs)} epochs of it"
        if epochs >= 1
        else f"{whole(STEPS)} steps see {probability(epochs)} of this text"
    )
    return f"{found}: {count(wanted)} tokens, {_times(wanted / max(1, tokens))} those of this text; {again}."


def _times(number: float) -> str:
    return f"{_number(number)} times"


def _number(number: float) -> str:
    """Three significant figures, or a whole number with its thousands apart."""
    return whole(round(number)) if number >= 1000 else significant(number)


class SplitRequest(msgspec.Struct, frozen=True):
    """A text, the rules that clean it, and the choice of its validation part."""

    source: str
    encoding: str | None
    rules: tuple[str, ...]
    holdout: Holdout = LAST_TENTH
    low_priority: bool = False
    """At the lowest priority, beside other work."""


class SplitReply(Reply, frozen=True, omit_defaults=True):
    """Progress in bytes of the files; at the end the split."""

    split: TextSplit | None = None


async def run_split_process(request: SplitRequest, progress: Progress) -> TextSplit:
    """The split that a process reads. Cancelling the awaiting task ends the process.
    Raises UserError if the text cannot be read."""
    reply = await ask_process(__name__, request, SplitReply, progress, work="reading of the text")
    assert reply.split is not None, "a result has a split"
    return reply.split


def _work(request: SplitRequest, progress: Progress) -> SplitReply:
    if request.low_priority and hasattr(os, "nice"):
        os.nice(19)
    return SplitReply(split=read_split(request.source, request.encoding, progress, request.rules, request.holdout))


if __name__ == "__main__":
    answer(SplitRequest, _work)
