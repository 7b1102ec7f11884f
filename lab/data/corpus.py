"""A corpus: one or more documents of cleaned text, streamed in chunks, with their sizes and checksum."""

import copy
import hashlib
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from lab.core.child_process import Progress
from lab.core.errors import UserError
from lab.data.builtin_texts import BUILTINS
from lab.data.cleaning.funnel_meter import FunnelMeter
from lab.data.cleaning.rule_registry import clean_documents
from lab.data.find_text_files import describe_left_out
from lab.data.text_chunks import DocumentPart, TextSpool, by_document, split_into_chunks
from lab.data.text_encoding import UndecodableError
from lab.runs.run_schema import DEFAULT_RULES, CleaningStep
from lab.runs.schema_parts import LAST_TENTH

STDIN = "-"
"""The source that is standard input."""

DOCUMENT_BORDER = b"\xff"
"""Stands between documents in checksums: a byte that no UTF-8 text holds."""

ROOM_FOR_SPOOL = 4
"""Free room on disk from which on a cleaned text is kept there for later readings, as a multiple of the text."""


class DocumentChunk(NamedTuple):
    """A chunk of one document's text, never empty."""

    text: str
    starts: bool
    """True for the first chunk of a document."""


class CorpusFile(NamedTuple):
    """A document of a corpus: its file's name, and the bytes of its cleaned text in UTF-8."""

    name: str
    bytes: int


class Undecodable(NamedTuple):
    """A file that cannot be decoded: its size, and the sentence that says so."""

    bytes: int
    problem: str


@dataclass(frozen=True, slots=True)
class Document:
    """A document of a corpus, which can be read repeatedly."""

    name: str
    size: int
    read: Callable[[], Iterable[tuple[str, int]]]
    """Gives the text in parts, each with how many of its `size` bytes have been read. Raises UserError, or UndecodableError."""
    encoding: str = "utf-8"
    path: str = ""
    """Absolute path of its file; empty for a built-in text."""
    builtin: str = ""
    """Name of the built-in text that it is."""
    identity: object = None
    """Equal for two that are the same file, or the same of what is no file."""
    is_optional: bool = False
    """True if it was found in a folder, so that it is left out where it cannot be decoded."""
    spool: object = None
    """The temporary file that a stream was copied to, which is gone with the corpus."""


@dataclass(frozen=True)
class CorpusSize:
    """Sizes and checksum of a whole cleaned text, as UTF-8. The checksum is of the documents with `DOCUMENT_BORDER` between."""

    bytes: int
    characters: int
    sha256: str
    document_bytes: tuple[int, ...]
    """Bytes of each document, in order; 0 where cleaning left nothing of it."""
    funnel: tuple[CleaningStep, ...] = ()
    """Effect of each cleaning rule, in the order of application."""
    undecodable: dict[int, Undecodable] = field(default_factory=dict)
    """Files that are none of the documents because they cannot be decoded, by number."""


class Corpus:
    """Documents that can be read repeatedly, in chunks, as the rules of `cleaning` leave them.

    `name` is short and for people, `source` is what opens the same text again; `encoding` is that of the file.
    `entropy_bits_per_byte` is the true entropy of the source of the text where that is known.
    """

    def __init__(
        self,
        name: str,
        source: str,
        encoding: str,
        documents: Sequence[Document],
        entropy_bits_per_byte: float | None = None,
        left_out: Sequence[tuple[str, str]] = (),
        cleaning: tuple[str, ...] = DEFAULT_RULES,
    ) -> None:
        """`left_out` has the reason and the path of each file that is none of the documents."""
        self.name = name
        self.source = source
        self.encoding = encoding
        self._documents = documents
        self._left_out = tuple(left_out)
        self._undecodable: dict[int, Undecodable] = {}
        """The files that cannot be decoded, by number, as far as they were reached in reading."""
        self.modified = 0.0
        """Time of the last change of its files and folders, in Unix seconds; 0 for a built-in text, infinite for a stream."""
        self.cleaning = cleaning
        """Names of the cleaning rules, in the order of application."""
        self.entropy_bits_per_byte = entropy_bits_per_byte
        self.holdout = LAST_TENTH
        self.validation: Corpus | None = None
        """The text of its own that `holdout` names; None where the validation part is part of this text."""
        self.inputs = None if any(each.spool for each in documents) else documents
        """The documents, which say whether the text may have changed; None where one is gone once it is read."""
        self.paths = tuple(each.path for each in documents if each.path)
        """Absolute paths of the files that it is read from."""
        self._size = sum(each.size for each in documents)
        often = Counter(each.name for each in documents)
        self._file_names = [as_text(each.path) if often[each.name] > 1 else each.name for each in documents]
        self._measured: CorpusSize | None = None
        self._text_spool: TextSpool | None = None

    def with_cleaning(self, rules: tuple[str, ...]) -> "Corpus":
        """The same text under other cleaning rules, also where it came from a stream. Neither is measured by the other."""
        other = copy.copy(self)
        other.cleaning, other._measured, other._text_spool = rules, None, None
        return other

    @property
    def file_bytes(self) -> int:
        """Bytes of the files as they lie on disk, known before any is read; then without those that cannot be decoded."""
        return self._size - sum(each.bytes for each in self._undecodable.values())

    def chunks(self) -> Iterator[str]:
        """The whole text in parts of about `CHUNK_CHARACTERS`, such that the tokens of the parts are the tokens of the whole.
        Raises UserError where the file cannot be read or decoded."""
        return (chunk.text for chunk in self.document_chunks())

    def document_chunks(self) -> Iterator[DocumentChunk]:
        """As `chunks`, with the borders between documents. No chunk holds text of two; documents without text are left out.
        Raises UserError where the file cannot be read or decoded."""
        for document in by_document(self.document_parts()):
            starts = True
            for text in split_into_chunks(part.text for part in document):
                yield DocumentChunk(text, starts)
                starts = False

    @property
    def left_out(self) -> str:
        """Files that are no part of the text, in words: `2 binary files and 1 empty file`. Those that cannot be decoded are among
        them once they were reached in reading."""
        unreadable = [os.path.basename(path) for reason, path in self._left_out if reason == "unreadable"]
        undecodable = [self._file_names[number] for number in self._undecodable]
        guesses = (each.problem.partition("; try --encoding ")[2].rstrip(".") for each in self._undecodable.values())
        guess = next(filter(None, guesses), "")
        return describe_left_out(
            [*(reason for reason, _ in self._left_out), *["undecodable"] * len(undecodable)],
            {"unreadable": unreadable, "undecodable": undecodable},
            f"; try the encoding {guess}" if guess else "",
        )

    def measure(self, progress: Progress | None = None, meter: FunnelMeter | None = None) -> CorpusSize:
        """Size and checksum, read once. `progress` counts bytes of the file; `meter` takes the place of the own one.
        Raises UserError where the file cannot be read or decoded."""
        if self._measured is None:
            sha256 = hashlib.sha256()
            sizes: list[int] = []
            count = characters = 0
            meter = meter or FunnelMeter(self.cleaning)
            for part in self.document_parts(meter):
                if part.starts:
                    sizes.append(0)
                encoded = part.text.encode()
                if encoded and count and not sizes[-1]:
                    sha256.update(DOCUMENT_BORDER)
                sha256.update(encoded)
                sizes[-1] += len(encoded)
                count += len(encoded)
                characters += len(part.text)
                if progress:
                    progress(part.read, max(part.read, self._size))
            digest, steps = sha256.hexdigest(), meter.steps()
            self._measured = CorpusSize(count, characters, digest, tuple(sizes), steps, dict(self._undecodable))
        return self._measured

    @property
    def is_measured(self) -> bool:
        """True if size and checksum are known."""
        return self._measured is not None

    def remember(self, size: CorpusSize) -> None:
        """Take over what an earlier `measure` of the same text found."""
        self._measured = size
        self._undecodable.update(size.undecodable)

    def read_once(self, spool: TextSpool) -> None:
        """Record the next whole reading in `spool`, from which all later ones come."""
        self._text_spool = spool

    def read_once_if_costly(self, folder: Path) -> None:
        """Have a text that is costly to clean or to make read once, if this folder has room for what later readings come from."""
        is_costly = self.cleaning != DEFAULT_RULES or any(each.builtin for each in self._documents)
        if is_costly and shutil.disk_usage(folder).free > ROOM_FOR_SPOOL * self.file_bytes:
            self.read_once(TextSpool(folder))

    @property
    def bytes(self) -> int:
        """Length of the cleaned text in UTF-8."""
        return self.measure().bytes

    @property
    def sha256(self) -> str:
        """Checksum of the cleaned text in UTF-8."""
        return self.measure().sha256

    @property
    def documents(self) -> int:
        """Number of documents that hold text. With more than one, an end-of-text token stands between each two."""
        return sum(size > 0 for size in self.measure().document_bytes)

    @property
    def has_end_of_text(self) -> bool:
        """True if its tokens hold end-of-text tokens: it, or the text of its own for validation, is several documents."""
        return self.documents > 1 or (self.validation is not None and self.validation.documents > 1)

    @property
    def opened_documents(self) -> int:
        """Number of documents, also those without text, known before any is read."""
        return len(self._file_names)

    @property
    def file_names(self) -> tuple[str, ...]:
        """The name of every document, in order, without files that turned out not to be one."""
        return tuple(name for number, name in enumerate(self._file_names) if number not in self._undecodable)

    def document_parts(self, meter: FunnelMeter | None = None) -> Iterator[DocumentPart]:
        """The whole text as it is read, in parts of no certain size. `meter` measures what cleaning takes.
        Raises UserError where the file cannot be read or decoded."""
        spool = self._text_spool
        if spool and spool.whole and meter is None:
            yield from spool.parts()
            return
        try:
            parts = clean_documents(self._decoded(), self.cleaning, meter)
            yield from spool.record(parts) if spool else parts
        except OSError as error:
            raise unreadable(self.source, error) from error

    @property
    def files(self) -> tuple[CorpusFile, ...]:
        """Name and size of every document, in order; the sizes add up to `bytes`."""
        sizes = self.measure().document_bytes  # first, as it tells which files are documents
        return tuple(map(CorpusFile, self.file_names, sizes))

    def _decoded(self) -> Iterator[DocumentPart]:
        """The text before any rule. Raises UndecodableError where none of the documents can be decoded."""
        before = 0
        for number, document in enumerate(self._documents):
            starts = True
            try:
                for text, read in document.read() if number not in self._undecodable else ():
                    yield DocumentPart(text, before + read, starts)
                    starts = False
            except UndecodableError as error:
                if not document.is_optional or not starts:
                    raise
                self._undecodable[number] = Undecodable(document.size, str(error))
            before += document.size
            if starts and number not in self._undecodable:
                yield DocumentPart("", before, True)
        if self._documents and len(self._undecodable) == len(self._documents):
            raise UndecodableError(self._undecodable[0].problem)


def as_text(name: str) -> str:
    """A file's name, with `-` for every byte that is no UTF-8."""
    return "".join("-" if "\ud800" <= character <= "\udfff" else character for character in name)


def preview(corpus: Corpus, characters: int) -> str:
    text = ""
    for chunk in corpus.chunks():
        text += chunk
        if len(text) >= characters:
            break
    return text[:characters]


def shown_source(source: str) -> str:
    """A source as messages show it: `first.txt and 2 more` where it names several."""
    first, *others = source.split("\n")
    shown = "standard input" if first == STDIN else repr(first)[1:-1]
    return f"{shown} and {len(others):,} more" if others else shown


def unreadable(source: str, error: Exception) -> UserError:
    """The error for a source that cannot be read, with the reason."""
    shown = shown_source(source)
    if isinstance(error, FileNotFoundError):
        return UserError(f"{shown} does not exist; give the path of a text file, or {' or '.join(BUILTINS)}.")
    if isinstance(error, PermissionError):
        return UserError(f"{shown} may not be read by you; change its permissions (chmod +r) or choose another file.")
    if "\0" in source:
        return UserError(f"{shown} is no path, because it holds a NUL character; choose another file.")
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return UserError(f"{shown} cannot be read ({reason}); choose another file.")
