"""A corpus as a stream of parts of its documents."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple


class DocumentPart(NamedTuple):
    """A part of a document's text. A file is one document; so is a built-in text, and standard input."""

    text: str
    read: int
    """Bytes of the whole source that have been read so far, as they lie in its files."""
    starts: bool
    """True for the first part of a document. Each document has one such part, which may be empty."""


def one_document(parts: Iterable[tuple[str, int]]) -> Iterator[DocumentPart]:
    """The parts of a single document: each is text, and how many bytes have been read so far."""
    starts = True
    for text, read in parts:
        yield DocumentPart(text, read, starts)
        starts = False
