"""Texts to learn from: any text file, standard input, or one of two built-in texts. They are streamed, never held as a whole."""

import hashlib
import os
import re
import shutil
import stat
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from urllib.parse import unquote_to_bytes

from lab.core.errors import UserError
from lab.data.text_encoding import check_encoding, decode, sniff

BUILTINS = {
    "stories": "short stories that the lab makes up; their true entropy is known (stories:5MB for another size than 1MB)",
    "python": "the Python language reference that comes with every Python",
}
"""Texts that need no file, and what each is. A file of the same name is meant by a path, such as ./stories."""

STDIN = "-"
WAIT_IN_SILENCE = 0.5
"""Seconds that the writer of a named pipe may take before it is said that it is waited for."""
FILE_URI = "file://"

CHUNK = 1 << 18
"""Characters after which a chunk ends at the next place where it may."""
WINDOW = 1 << 14
"""Characters in which the better kind of such a place is preferred to a nearer one."""
LONGEST = 1 << 22
"""Characters after which a chunk ends anywhere: a text with no space, newline or punctuation for so long is then tokenized a
little otherwise around this place than as a whole (still without loss)."""

ReadProgress = Callable[[int, int], None]
"""Called with how much is done and the total, in the same unit."""

_BORDERS = (
    (re.compile(r"(?<=\S)\n(?=\S)"), "end"),
    (re.compile(r"[ \n\t](?=\S)"), "start"),
    (re.compile(r"(?<=[^\W\d_])[.,;:!?…。，、；：！？]"), "start"),
)
"""Places where GPT-2's pattern always splits, and would split a text that ends or begins there alike, best first: after a
single newline; before the last character of any whitespace, which goes with what follows; before punctuation that follows a
letter."""

_STORIES = re.compile(r"stories(?::(\d+(?:\.\d+)?)([kMG]?)B?)?", re.IGNORECASE)
_UNITS = {"": 1, "k": 1_000, "m": 1_000_000, "g": 1_000_000_000}


@dataclass(frozen=True)
class Facts:
    """What a whole cleaned text is, as UTF-8."""

    bytes: int
    characters: int
    sha256: str


class Corpus:
    """A text that can be read again and again, in chunks. It is cleaned: no byte-order mark, and every line ends in "\\n".

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
        self._facts: Facts | None = None
        self._spool: object = None

    def chunks(self) -> Iterator[str]:
        """The whole text in parts of about CHUNK characters, such that the tokens of the parts are the tokens of the whole.

        Raises:
            UserError: where the file cannot be read or decoded.
        """
        return split_safely(text for text, _ in self._reading())

    def measure(self, progress: ReadProgress | None = None) -> Facts:
        """Reads the text once to know its size and checksum, unless that is known. `progress` counts bytes of the file.

        Raises:
            UserError: where the file cannot be read or decoded.
        """
        if self._facts is None:
            sha256 = hashlib.sha256()
            count = characters = 0
            for text, read in self._reading():
                encoded = text.encode()
                sha256.update(encoded)
                count += len(encoded)
                characters += len(text)
                if progress:
                    progress(read, max(read, self._size))
            self._facts = Facts(count, characters, sha256.hexdigest())
        return self._facts

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
            raise _unreadable(self.source, error) from error


def open_corpus(source: str, encoding: str | None = None, on_wait: Callable[[], None] | None = None) -> Corpus:
    """The text that `source` names: a built-in's name, "-" for standard input, or a path.

    A named pipe is read where `on_wait` is given, which is called once while nothing writes to the pipe yet.

    A file is UTF-8, or what its byte-order mark says, unless `encoding` says otherwise. Its beginning is read at once; an
    error further on is raised when it is met.

    Raises:
        UserError: if there is no text there, or it cannot be read.
    """
    if encoding is not None:
        encoding = check_encoding(encoding)
    if not source:
        raise UserError(f"No text is named; give the path of a text file, - for standard input, or {' or '.join(BUILTINS)}.")
    if match := _STORIES.fullmatch(source):
        return _stories(source, match)
    if source == "python":
        return _python()
    corpus = _spooled("stdin", STDIN, sys.stdin.buffer, encoding) if source == STDIN else _file(source, encoding, on_wait)
    if next(corpus.chunks(), None) is None:
        raise UserError(f"{_shown(source)} is empty; choose a text to learn from.")
    return corpus


def preview(corpus: Corpus, characters: int) -> str:
    """The first `characters` characters of the cleaned text."""
    text = ""
    for chunk in corpus.chunks():
        text += chunk
        if len(text) >= characters:
            break
    return text[:characters]


def split_safely(texts: Iterable[str], size: int = CHUNK, window: int = WINDOW, longest: int = LONGEST) -> Iterator[str]:
    """`texts`, joined, in parts of at least `size` characters (but for the last) and at most `longest`, split where that does
    not change how the text is tokenized by GPT-2's pattern. Only `longest` forces a split elsewhere. Where the borders lie
    does not depend on the parts of `texts`.
    """
    buffer = ""
    searched = size
    for text in texts:
        buffer += text
        while len(buffer) > min(searched + window, longest):
            end = _border(buffer, searched, searched + window)
            if end is None and searched + window < longest:
                searched += window
                continue
            end = longest if end is None or end > longest else end
            yield buffer[:end]
            buffer, searched = buffer[end:], size
    if buffer:
        yield buffer


def _border(text: str, start: int, stop: int) -> int | None:
    for pattern, side in _BORDERS:
        if match := pattern.search(text, start, stop + 1):
            return match.start() if side == "start" else match.end()
    return None


def _stories(source: str, match: re.Match[str]) -> Corpus:
    from lab.data import builtin_stories

    size = round(float(match[1]) * _UNITS[match[2].lower()]) if match[1] else builtin_stories.DEFAULT_SIZE
    if not size:
        raise UserError(f"{source} asks for a text of no size; use for example stories:5MB.")

    def read() -> Iterator[tuple[str, int]]:
        done = 0
        for text in builtin_stories.generate(size):
            done += len(text)
            yield text, done

    return Corpus("stories", source.lower(), "utf-8", size, read, builtin_stories.entropy_bits_per_byte())


def _python() -> Corpus:
    try:
        from pydoc_data.topics import topics
    except ImportError as error:
        raise UserError("this Python comes without its language reference (pydoc_data); choose another text.") from error
    text = "\n\n".join(topics[topic].strip("\n") for topic in sorted(topics)) + "\n"
    size = len(text.encode())
    return Corpus("python", "python", "utf-8", size, lambda: iter([(text, size)]))


def _file(source: str, encoding: str | None, on_wait: Callable[[], None] | None) -> Corpus:
    try:
        path = path_of(source)
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise UserError(f"{_shown(source)} is a folder; choose a text file in it.")
        if stat.S_ISFIFO(mode):
            if on_wait is None:
                raise UserError(f"{_shown(source)} is a named pipe, which can be read only once; choose a text file.")
            return _pipe(source, path, encoding, on_wait)
        if not stat.S_ISREG(mode):
            raise UserError(f"{_shown(source)} is a device, not a file; choose a text file.")
        return _regular(_as_text(path.stem), source_of(path), path, _shown(source), encoding)
    except (OSError, ValueError, RuntimeError) as error:
        raise _unreadable(source, error) from error


def _pipe(source: str, path: Path, encoding: str | None, on_wait: Callable[[], None]) -> Corpus:
    """Opening a named pipe waits for its writer, as long as that takes; Ctrl-C ends it."""
    patience = threading.Timer(WAIT_IN_SILENCE, on_wait)
    patience.daemon = True
    patience.start()
    try:
        with path.open("rb") as pipe:
            patience.cancel()
            return _spooled("pipe", source, pipe, encoding)
    finally:
        patience.cancel()


def source_of(path: Path) -> str:
    """What opens the file at this path again: the path, or its URI where the path is no UTF-8, which config.json cannot hold."""
    absolute = path.absolute()
    return str(absolute) if _as_text(str(absolute)) == str(absolute) else absolute.as_uri()


def path_of(source: str) -> Path:
    """The path that a source names, which may be a `file:` URI."""
    if source.startswith(FILE_URI):
        return Path(os.fsdecode(unquote_to_bytes(source.removeprefix(FILE_URI))))
    return Path(os.path.expanduser(source))


def _as_text(name: str) -> str:
    """A file's name, with `-` for every byte that is no UTF-8."""
    return "".join("-" if "\ud800" <= character <= "\udfff" else character for character in name)


def _spooled(name: str, source: str, stream: BinaryIO, encoding: str | None) -> Corpus:
    """A stream can be read once, so it is copied to a temporary file, which is gone with the corpus."""
    file = tempfile.NamedTemporaryFile(prefix="llmlab-")  # noqa: SIM115
    shutil.copyfileobj(stream, file)
    file.flush()
    corpus = _regular(name, source, Path(file.name), _shown(source), encoding)
    corpus._spool = file
    return corpus


def _regular(name: str, source: str, path: Path, shown: str, encoding: str | None) -> Corpus:
    asked = encoding is not None
    chosen = encoding or sniff(path, shown)
    return Corpus(name, source, chosen, os.path.getsize(path), lambda: decode(path, chosen, shown, asked))


def _shown(source: str) -> str:
    """A source as it stands in a message."""
    return "standard input" if source == STDIN else repr(source)[1:-1]


def _unreadable(source: str, error: Exception) -> UserError:
    shown = _shown(source)
    if isinstance(error, FileNotFoundError):
        names = " or ".join(BUILTINS)
        return UserError(f"{shown} does not exist; give the path of a text file, - for standard input, or {names}.")
    if isinstance(error, PermissionError):
        return UserError(f"{shown} may not be read by you; change its permissions (chmod +r) or choose another file.")
    if "\0" in source:
        return UserError(f"{shown} is no path, because it holds a NUL character; choose another file.")
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return UserError(f"{shown} cannot be read ({reason}); choose another file.")
