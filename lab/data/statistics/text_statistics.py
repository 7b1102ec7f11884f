"""Statistics of a text: its size, cleaning, preview, and length in tokens, which a process counts where a screen would wait."""

import asyncio
import functools
from dataclasses import dataclass

import msgspec

from lab.core.child_process import Progress, Reply, answer, ask_process, lower_priority
from lab.core.errors import UserError
from lab.core.number_format import bytes_, counted
from lab.data.builtin_texts import is_builtin
from lab.data.cleaning.funnel_meter import nothing_left
from lab.data.cleaning.measure_funnel import describe_decoding, is_utf8
from lab.data.corpus import Corpus, preview
from lab.data.source_files import SourceStamp, can_be_read_again, is_one_file, source_stamp
from lab.data.text_source import open_corpus
from lab.data.train_val_split import Split, pieces, split_text, training_text
from lab.runs.run_schema import DEFAULT_RULES
from models.config import TokenizerError, TokenizerKind
from models.tokenizers.gpt2_vocabulary_files import VocabularyError
from models.tokenizers.tokenizer import Tokenizer

PREVIEW_CHARACTERS = 8_000
"""Characters of the preview."""

SAMPLE_CHARACTERS = 1 << 20
"""Characters from which the length of a longer text in tokens is estimated: learning and cutting them takes about 0.3 s."""


@dataclass(frozen=True)
class TextFacts:
    name: str
    source: str
    encoding: str
    bytes: int
    characters: int
    preview: str
    cleaning: str
    """The changes that cleaning made to the file, in words."""
    entropy_bits_per_byte: float | None = None
    documents: int = 1
    """Documents that hold text; with several, an end-of-text token stands between each two."""
    left_out: str = ""
    """Files of its folders that are not read, in words; "" if there are none."""
    stamp: SourceStamp = ()
    """Its files as they were when it was read."""


@dataclass(frozen=True)
class TokenCount:
    """A text's length in tokens of one kind. `tokens` is exact, or estimated from a sample of the text."""

    kind: TokenizerKind
    vocab_size: int
    tokens: int
    exact: bool


class CountRequest(msgspec.Struct, frozen=True):
    """A text as these rules clean it, and the tokens to count in it."""

    source: str
    encoding: str | None
    kind: TokenizerKind
    vocab_size: int
    cleaning: tuple[str, ...] = DEFAULT_RULES


class CountReply(Reply, frozen=True, omit_defaults=True):
    """The length in tokens."""

    count: TokenCount | None = None


def read_facts(source: str, encoding: str | None = None, cleaning: tuple[str, ...] = DEFAULT_RULES) -> TextFacts:
    """Statistics of a text as these cleaning rules leave it. It is read once, and again only if it changed.
    Raises UserError as `open_corpus`, where there is no text or it cannot be read, and for standard input and pipes."""
    return _read_facts(source, encoding, cleaning, source_stamp(source))


def count_tokens(request: CountRequest) -> TokenCount:
    """The text's length in tokens. For `bpe`, a vocabulary of `vocab_size` is learned from the beginning of the text.

    Raises:
        UserError: as `open_corpus`.
        TokenizerError: if the vocabulary cannot be made.
        VocabularyError: if GPT-2's vocabulary cannot be found.
    """
    key = request, source_stamp(request.source)
    if key not in _counts:
        _counts[key] = _count_tokens(request)
    return _counts[key]


_counts: dict[tuple[CountRequest, SourceStamp], TokenCount] = {}


async def run_count_process(request: CountRequest) -> TokenCount:
    """As `count_tokens`, in a process, once until the text changes. Cancelling the awaiting task ends the process.
    Raises UserError with the reason why it cannot be counted."""
    key = request, await asyncio.to_thread(source_stamp, request.source)
    if key not in _counts:
        reply = await ask_process(__name__, request, CountReply, lambda done, total: None, work="counting of the tokens")
        assert reply.count is not None
        _counts[key] = reply.count
    return _counts[key]


def _work(request: CountRequest, progress: Progress) -> CountReply:
    try:
        return CountReply(count=count_tokens(request))
    except (TokenizerError, VocabularyError) as error:
        raise UserError(str(error)) from error


def count_tokens_of(
    tokenizer: Tokenizer, source: str, encoding: str | None, cleaning: tuple[str, ...] = DEFAULT_RULES
) -> TokenCount:
    """The text's length in tokens of this tokenizer. Raises: UserError as `open_corpus`."""
    corpus = open_corpus(source, encoding, cleaning=cleaning)
    sample, whole_text = _sample(corpus)
    return _counted(corpus, tokenizer, sample, split_text(corpus) if whole_text else None)


@functools.lru_cache(maxsize=16)
def _read_facts(source: str, encoding: str | None, cleaning: tuple[str, ...], stamp: SourceStamp) -> TextFacts:
    if "\0" in source:
        raise UserError("A path cannot hold a NUL character; choose another.")
    if not can_be_read_again(source):
        raise UserError(f"{source} can be read only once; save the text to a file, and choose that.")
    corpus = open_corpus(source, encoding, cleaning=cleaning)
    sizes = corpus.measure()
    if problem := nothing_left(sizes.funnel, sizes.bytes):
        raise UserError(problem)
    return TextFacts(
        name=corpus.name,
        source=corpus.source,
        encoding=corpus.encoding,
        bytes=sizes.bytes,
        characters=sizes.characters,
        preview=preview(corpus, PREVIEW_CHARACTERS),
        cleaning=_cleaning(corpus, sizes.bytes),
        entropy_bits_per_byte=corpus.entropy_bits_per_byte,
        documents=corpus.documents,
        left_out=corpus.left_out,
        stamp=stamp,
    )


def _cleaning(corpus: Corpus, cleaned: int) -> str:
    steps = corpus.measure().funnel
    raw = steps[0].bytes_in if steps else cleaned
    if corpus.cleaning != DEFAULT_RULES:
        return f"{', '.join(corpus.cleaning) or 'no rule'}: {bytes_(cleaned)} of {bytes_(raw)} kept"
    if is_builtin(corpus.source):
        return "nothing to clean"
    if not is_one_file(corpus.source):
        return "each file decoded into UTF-8, lines end in \\n"
    if not is_utf8(corpus.encoding):
        return f"{describe_decoding(corpus, cleaned)}, lines end in \\n"
    changes = ["byte-order mark dropped"] if corpus.file_bytes > raw else []
    if raw > cleaned:
        changes.append(f"{counted(raw - cleaned, 'line end')} \\r\\n made \\n")
    elif steps[0].passages_changed:
        changes.append("line ends \\r made \\n")
    return " and ".join(changes) if changes else "nothing to clean: UTF-8, lines end in \\n"


def _count_tokens(request: CountRequest) -> TokenCount:
    source, encoding, kind, vocab_size, cleaning = msgspec.structs.astuple(request)
    if kind == "bytes":
        return TokenCount(kind, 256, read_facts(source, encoding, cleaning).bytes, exact=True)
    corpus = open_corpus(source, encoding, cleaning=cleaning)
    sample, whole_text = _sample(corpus)
    split = split_text(corpus) if whole_text else None
    learned_from = training_text(corpus, split, lambda share: None) if split else iter(sample)
    several = corpus.documents > 1
    tokenizer = Tokenizer.gpt2() if kind == "gpt2" else Tokenizer.train(learned_from, vocab_size, end_of_text=several)
    return _counted(corpus, tokenizer, sample, split)


def _counted(corpus: Corpus, tokenizer: Tokenizer, sample: list[str], split: Split | None) -> TokenCount:
    """The length in tokens: exact with the split of a text that the sample is all of, else estimated."""
    kind, size = tokenizer.kind, tokenizer.vocab_size
    if split:
        tokens = sum(len(tokenizer.encode(piece.bytes.decode())) for piece in pieces(corpus, split.cuts))
        return TokenCount(kind, size, tokens + corpus.documents - 1, exact=True)
    counted = sum(len(tokenizer.encode(text)) for text in sample)
    tokens = round(counted * corpus.bytes / sum(len(text.encode()) for text in sample)) + corpus.documents - 1
    return TokenCount(kind, size, tokens, exact=False)


def _sample(corpus: Corpus) -> tuple[list[str], bool]:
    """The beginning of the text in whole chunks, about `SAMPLE_CHARACTERS`, and True if that is all of it."""
    chunks = corpus.chunks()
    parts: list[str] = []
    while sum(map(len, parts)) < SAMPLE_CHARACTERS and (chunk := next(chunks, None)) is not None:
        parts.append(chunk)
    return parts, next(chunks, None) is None


if __name__ == "__main__":
    lower_priority(10)  # the screen goes first
    answer(CountRequest, _work)
