"""A corpus: a cleaned text that is streamed in chunks, with its size and checksum."""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from lab.core.errors import UserError
from lab.data.builtin_texts import BUILTINS
from lab.data.text_chunks import split_into_chunks

STDIN = "-"
"""The source that is standard input."""

ReadProgress = Callable[[int, int], None]
"""Called with how much is done and the total, in the same unit."""


@dataclass(frozen=True)
class CorpusSize:
    """Size and checksum of a whole cleaned text, as UTF-8."""

    bytes: int
    characters: int
    sha256: str


class Corpus:
    """A text that can be read repeatedly, in chunks, and is cleaned: no byte-order mark, and every line ends in "\\n".

    `name` is short and for people, `source` is what opens the same text again; `encoding` is that of the file.
    `entropy_bits_per_byte` is the true entropy of the source of the text where that is known.
    """

    def __init__(
        self,
        name: str,
        source: str,
        encoding: str,
        size: int,
        read: Callable[[], Iterator[tuple[str, int]]],
        entropy_bits_per_byte: float | None = None,
    ) -> None:
        """`read` gives the cleaned text in parts, each with how many of `size` bytes have been read so far."""
        self.name = name
        self.source = source
        self.encoding = encoding
        self.entropy_bits_per_byte = entropy_bits_per_byte
        self._size = size
        self._read = read
        self._measured: CorpusSize | None = None
        self._spool: object = None

    def chunks(self) -> Iterator[str]:
        """The whole text in parts of about `CHUNK_CHARACTERS`, such that the tokens of the parts are the tokens of the whole.

        Raises:
            UserError: where the file cannot be read or decoded.
        """
        return split_into_chunks(text for text, _ in self._reading())

    def measure(self, progress: ReadProgress | None = None) -> CorpusSize:
        """Size and checksum, read once. `progress` counts bytes of the file.

        Raises:
            UserError: where the file cannot be read or decoded.
        """
        if self._measured is None:
            sha256 = hashlib.sha256()
            count = characters = 0
            for text, read in self._reading():
                encoded = text.encode()
                sha256.update(encoded)
                count += len(encoded)
                characters += len(text)
                if progress:
                    progress(read, max(read, self._size))
            self._measured = CorpusSize(count, characters, sha256.hexdigest())
        return self._measured

    @property
    def bytes(self) -> int:
        """Length of the cleaned text in UTF-8."""
        return self.measure().bytes

    @property
    def characters(self) -> int:
        return self.measure().characters

    @property
    def sha256(self) -> str:
        """Checksum of the cleaned text in UTF-8."""
        return self.measure().sha256

    def _reading(self) -> Iterator[tuple[str, int]]:
        try:
            yield from self._read()
        except OSError as error:
            raise unreadable(self.source, error) from error


def preview(corpus: Corpus, characters: int) -> str:
    """The first `characters` characters of the cleaned text."""
    text = ""
    for chunk in corpus.chunks():
        text += chunk
        if len(text) >= characters:
            break
    return text[:characters]


def shown_source(source: str) -> str:
    """A source as messages show it."""
    return "standard input" if source == STDIN else repr(source)[1:-1]


def unreadable(source: str, error: Exception) -> UserError:
    """The error for a source that cannot be read, with the reason."""
    shown = shown_source(source)
    if isinstance(error, FileNotFoundError):
        names = " or ".join(BUILTINS)
        return UserError(f"{shown} does not exist; give the path of a text file, - for standard input, or {names}.")
    if isinstance(error, PermissionError):
        return UserError(f"{shown} may not be read by you; change its permissions (chmod +r) or choose another file.")
    if "\0" in source:
        return UserError(f"{shown} is no path, because it holds a NUL character; choose another file.")
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return UserError(f"{shown} cannot be read ({reason}); choose another file.")
