"""Statistics of a text: its size, its cleaning, a preview, and its length in tokens."""

import functools
import os
import stat
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from lab.core.errors import UserError
from lab.core.number_format import bytes_, whole
from lab.core.safe_open import open_regular
from lab.data.builtin_texts import is_builtin
from lab.data.corpus import STDIN, Corpus, preview
from lab.data.text_source import open_corpus, path_of
from lab.data.train_val_split import pieces, split_text
from models.tokenizers.tokenizer import Tokenizer
from models.tokenizers.tokenizer_kinds import TokenizerKind

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


@dataclass(frozen=True)
class TokenCount:
    """A text's length in tokens of one kind. `tokens` is exact, or estimated from a sample of the text."""

    kind: TokenizerKind
    vocab_size: int
    tokens: int
    exact: bool


def read_facts(source: str, encoding: str | None = None) -> TextFacts:
    """Statistics of a text, which is read once, and again only if it changed.

    Raises:
        UserError: as `open_corpus`, where there is no text or it cannot be read, and for standard input and pipes.
    """
    return _read_facts(source, encoding, _stamp(source))


def count_tokens(source: str, encoding: str | None, kind: TokenizerKind, vocab_size: int) -> TokenCount:
    """The text's length in tokens. For `bpe`, a vocabulary of `vocab_size` is learned from the beginning of the text.

    Raises:
        UserError: as `open_corpus`.
        TokenizerError: if the vocabulary cannot be made.
        VocabularyError: if GPT-2's vocabulary cannot be found.
    """
    return _count_tokens(source, encoding, kind, vocab_size, _stamp(source))


def file_size(source: str) -> int | None:
    """Bytes of the file, or None where the source is no regular file."""
    found = _found(source)
    return found.st_size if found is not None and stat.S_ISREG(found.st_mode) else None


def _stamp(source: str) -> tuple[int, int]:
    """Size and modification time of the file, so that a changed file is read again."""
    found = _found(source)
    return (found.st_size, found.st_mtime_ns) if found is not None else (0, 0)


def _found(source: str) -> os.stat_result | None:
    """`os.stat` of the source, if it is a path that exists."""
    try:
        return None if is_builtin(source) else os.stat(Path(source).expanduser())
    except (OSError, ValueError, RuntimeError):
        return None


@functools.lru_cache(maxsize=16)
def _read_facts(source: str, encoding: str | None, stamp: tuple[int, int]) -> TextFacts:
    if "\0" in source:
        raise UserError("A path cannot hold a NUL character; choose another.")
    found = _found(source)
    if source == STDIN or (found is not None and stat.S_ISFIFO(found.st_mode)):
        raise UserError(f"{source} can be read only once; save the text to a file, and choose that.")
    corpus = open_corpus(source, encoding)
    sizes = corpus.measure()
    return TextFacts(
        name=corpus.name,
        source=corpus.source,
        encoding=corpus.encoding,
        bytes=sizes.bytes,
        characters=sizes.characters,
        preview=preview(corpus, PREVIEW_CHARACTERS),
        cleaning=_cleaning(corpus, sizes.bytes),
        entropy_bits_per_byte=corpus.entropy_bits_per_byte,
    )


def _cleaning(corpus: Corpus, cleaned: int) -> str:
    if is_builtin(corpus.source):
        return "nothing to clean"
    path = path_of(corpus.source)
    with open_regular(path, follow=True) as file:
        head = file.read(1 << 16)
    mark = head.startswith(b"\xef\xbb\xbf")
    if corpus.encoding.replace("_", "-") not in ("utf-8", "ascii"):
        size = bytes_(os.path.getsize(path))
        return f"decoded from {corpus.encoding} ({size}) into UTF-8 ({bytes_(cleaned)}), lines end in \\n"
    dropped = os.path.getsize(path) - cleaned - (3 if mark else 0)
    changes = ["byte-order mark dropped"] if mark else []
    if dropped:
        changes.append(f"{whole(dropped)} line ends \\r\\n made \\n")
    elif b"\r" in head:
        changes.append("line ends \\r made \\n")
    return " and ".join(changes) if changes else "nothing to clean: UTF-8, lines end in \\n"


@functools.lru_cache(maxsize=16)
def _count_tokens(source: str, encoding: str | None, kind: TokenizerKind, vocab_size: int, stamp: tuple[int, int]) -> TokenCount:
    if kind == "bytes":
        return TokenCount(kind, 256, read_facts(source, encoding).bytes, exact=True)
    corpus = open_corpus(source, encoding)
    sample, whole_text = _sample(corpus)
    split = split_text(corpus) if whole_text else None
    learned_from = sample.encode()[: split.split].decode() if split else sample
    tokenizer = Tokenizer.gpt2() if kind == "gpt2" else Tokenizer.train([learned_from], vocab_size)
    if split:
        tokens = sum(len(tokenizer.encode(piece.decode())) for _, piece, _ in pieces(corpus, split.cuts))
        return TokenCount(kind, tokenizer.vocab_size, tokens, exact=True)
    tokens = round(len(tokenizer.encode(sample)) * corpus.bytes / len(sample.encode()))
    return TokenCount(kind, tokenizer.vocab_size, tokens, exact=False)


def _sample(corpus: Corpus) -> tuple[str, bool]:
    """The beginning of the text in whole chunks, about `SAMPLE_CHARACTERS`, and True if that is all of it."""
    chunks = corpus.chunks()
    parts: list[str] = []
    for chunk in chunks:
        parts.append(chunk)
        if sum(map(len, parts)) >= SAMPLE_CHARACTERS:
            break
    return "".join(parts), next(islice(chunks, 1), None) is None
