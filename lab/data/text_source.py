"""Open a text: files, folders, glob patterns, standard input, named pipes and built-in texts."""

import glob
import math
import os
import shutil
import stat
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO
from urllib.parse import unquote_to_bytes

from msgspec.structs import replace

from lab.core.errors import DamagedFileError, UserError
from lab.data.builtin_texts import BUILTINS, is_builtin, open_builtin
from lab.data.cleaning.rule_registry import in_order
from lab.data.corpus import STDIN, Corpus, Document, as_text, shown_source, unreadable
from lab.data.find_text_files import (
    FoundFiles,
    LeftOut,
    describe_left_out,
    find_by_pattern,
    find_in_folder,
    fixed_part,
    is_pattern,
)
from lab.data.text_encoding import check_encoding, decode, detect_encoding, fitting_encoding
from lab.runs.run_schema import DEFAULT_RULES
from lab.runs.schema_parts import LAST_TENTH, Holdout

PIPE_WAIT_SECONDS = 0.5
"""Time that the writer of a named pipe may take before `on_wait` is called."""
FILE_URI = "file://"
DETECTED_PER_FILE = "auto"
"""The encoding of a text whose files have different ones: each is read as it is detected."""


def sources_of(source: str) -> list[str]:
    """The sources that one string names, one a line: paths, folders, glob patterns, "-" and names of built-in texts.

    The path of a file that exists is one source, also where it holds a newline.
    """
    if "\n" in source and os.path.lexists(path_of(source)):
        return [source]
    return [line for line in source.split("\n") if line]


def joined_source(sources: Iterable[str]) -> str:
    """The one string that names these sources, in this order."""
    return "\n".join(Path(each).absolute().as_uri() if "\n" in each else each for each in sources)


def open_corpus(
    source: str,
    encoding: str | None = None,
    on_wait: Callable[[], None] | None = None,
    cleaning: Iterable[str] = DEFAULT_RULES,
    holdout: Holdout = LAST_TENTH,
) -> Corpus:
    """Open the text that `source` names, or the documents where it names several: see `sources_of`.

    `cleaning` names the rules of `lab.data.cleaning.rule_registry` that the text goes through whenever it is read. `holdout`
    chooses the validation part; a text of its own is opened with the same encoding and rules.

    Of a folder and the folders in it, and of a glob pattern, all text files are read, sorted by name. The same file is read
    once. A named pipe is read where `on_wait` is given, which is called once while nothing writes to the pipe yet.

    A file is UTF-8, or what its byte-order mark says, unless `encoding` says otherwise; of several files it says so of those that
    are not. A file of a folder or pattern that cannot be decoded is left out. The beginning of each other one is read at once; an
    error further on is raised when it is met.
    Raises UserError if there is no text there, or it cannot be read.
    """
    encoding = None if encoding in (None, DETECTED_PER_FILE) else check_encoding(encoding)
    sources = sources_of(source)
    if not sources:
        raise UserError(f"No text is named; give the path of a text file, - for standard input, or {' or '.join(BUILTINS)}.")
    opened = {each: _open(each, encoding, on_wait, one_of_several=len(sources) > 1) for each in dict.fromkeys(sources)}
    named = [document for each in sources for document in opened[each].documents]
    by_file: dict[object, Document] = {}
    for document in named:
        by_file.setdefault(document.identity, document)
    documents = list(by_file.values())
    left_out = {path: reason for each in opened.values() for path, reason in each.left_out.items()}
    reasons = [*((reason, path) for path, reason in left_out.items()), *[("twice", "")] * (len(named) - len(documents))]
    kept = set(map(id, documents))
    first, *others = (each for each in opened.values() if kept.intersection(map(id, each.documents)))
    encodings = {document.encoding for document in documents}
    rules = in_order(cleaning)
    is_as_made = not others and set(rules) <= set(DEFAULT_RULES)  # of a text with less in it the entropy is not known
    corpus = Corpus(
        f"{first.name} and {len(others):,} more" if others else first.name,
        joined_source(each.source for each in (first, *others)),
        encoding if encoding and len(documents) > 1 else encodings.pop() if len(encodings) == 1 else DETECTED_PER_FILE,
        documents,
        first.entropy_bits_per_byte if is_as_made else None,
        reasons,
        rules,
    )
    corpus.modified = max(each.modified for each in opened.values())
    if holdout.source:
        corpus.validation = other = open_corpus(holdout.source, holdout.encoding or encoding, on_wait, rules)
        holdout = replace(holdout, source=other.source, encoding=other.encoding)
    corpus.holdout = holdout
    return corpus


@dataclass(frozen=True)
class _Opened:
    """Everything that one source names."""

    name: str
    source: str
    """Opens the same again from any working directory."""
    documents: list[Document]
    modified: float
    """Time of the last change of its files and folders, in Unix seconds."""
    left_out: LeftOut = field(default_factory=dict)
    entropy_bits_per_byte: float | None = None


def _file(
    source: str,
    path: str,
    name: str,
    size: int,
    encoding: str,
    identity: object,
    *,
    asked: bool,
    one_of_several: bool,
    is_optional: bool = False,
    spool: object = None,
) -> Document:
    """A document that is a file. `asked` tells whether the user named the encoding; of several files it is for those that are not
    UTF-8."""
    known = None if is_optional or (one_of_several and asked) else encoding

    def read() -> Iterator[tuple[str, int]]:
        nonlocal known
        shown = shown_source(source)
        try:
            known = known or fitting_encoding(path, encoding if asked else None, shown)
            yield from decode(path, known, shown, asked)
        except DamagedFileError as error:
            raise UserError(f"{shown} is no file any more since the text was opened; try again.") from error
        except FileNotFoundError as error:
            raise UserError(f"{shown} is gone since the text was opened; try again.") from error
        except OSError as error:
            raise unreadable(source, error) from error

    return Document(name, size, read, encoding, path, identity=identity, is_optional=is_optional, spool=spool)


def _open(source: str, encoding: str | None, on_wait: Callable[[], None] | None, *, one_of_several: bool) -> _Opened:
    if is_builtin(source):
        text = open_builtin(source)
        document = Document(text.name, text.bytes, text.read, builtin=text.source, identity=text.source)
        return _Opened(text.name, text.source, [document], 0.0, entropy_bits_per_byte=text.entropy_bits_per_byte)
    if source == STDIN:
        return _one("stdin", STDIN, _spooled("stdin", STDIN, sys.stdin.buffer, encoding, one_of_several))
    try:
        path = path_of(source)
        try:
            facts = path.stat()
        except FileNotFoundError:
            if not is_pattern(source) or source.startswith(FILE_URI):
                raise
            return _pattern(source, encoding)
        if stat.S_ISDIR(facts.st_mode):
            name = as_text(path.absolute().name) or "text"
            return _found(
                name,
                source_of(path),
                find_in_folder(str(path.absolute()), wide=_is_wide(encoding)),
                f"{shown_source(source)} is a folder without a text file",
                encoding,
            )
        if stat.S_ISFIFO(facts.st_mode):
            if on_wait is None:
                raise UserError(f"{shown_source(source)} is a named pipe, which can be read only once; choose a text file.")
            return _one("pipe", source, _pipe(source, path, encoding, on_wait, one_of_several))
        if not stat.S_ISREG(facts.st_mode):
            raise UserError(f"{shown_source(source)} is a device, not a file; choose a text file.")
        chosen = encoding or detect_encoding(path, shown_source(source))
        where, identity, asked = source_of(path), (facts.st_dev, facts.st_ino), encoding is not None
        file = str(path.absolute()), as_text(path.name), facts.st_size, chosen, identity
        document = _file(where, *file, asked=asked, one_of_several=one_of_several)
        return _one(as_text(path.stem), where, document, facts.st_mtime)
    except (OSError, ValueError, RuntimeError) as error:
        raise unreadable(source, error) from error


def _one(name: str, source: str, document: Document, modified: float = math.inf) -> _Opened:
    """A source of one document. Raises: UserError if it is empty."""
    if next(iter(document.read()), None) is None:
        raise UserError(f"{shown_source(source)} is empty; choose another text.")
    return _Opened(name, source, [document], modified)


def _pattern(source: str, encoding: str | None) -> _Opened:
    if as_text(source) != source:
        raise UserError(f"{shown_source(source)} is a pattern that is not UTF-8; give the folder instead.")
    pattern = os.path.join(glob.escape(os.getcwd()), os.path.expanduser(source))
    name = as_text(Path(fixed_part(pattern)).name) or "text"
    return _found(
        name, pattern, find_by_pattern(pattern, wide=_is_wide(encoding)), f"{shown_source(source)} matches no text file", encoding
    )


def _modified(folder: str) -> float:
    """Time of the last change of a folder; infinite where it is gone meanwhile."""
    try:
        return os.stat(folder).st_mtime
    except OSError:
        return math.inf


def _is_wide(encoding: str | None) -> bool:
    """True for an encoding in which text holds NUL bytes."""
    return encoding is not None and encoding.startswith(("utf-16", "utf-32"))


def _found(name: str, source: str, found: FoundFiles, nothing: str, encoding: str | None) -> _Opened:
    """The text files of a folder or pattern. Raises: UserError, which begins with `nothing`, if there are none."""
    if not found.files:
        there = f", only {describe_left_out(found.left_out.values())}" if found.left_out else ""
        raise UserError(f"{nothing}{there}; choose another text.")
    asked = encoding is not None
    documents = []
    for file in found.files:
        facts = file.path, as_text(file.name), file.size, encoding or file.encoding, file.identity
        documents.append(_file(source_of(Path(file.path)), *facts, asked=asked, one_of_several=True, is_optional=True))
    folders = {os.path.dirname(file.path) for file in found.files}
    modified = max(*(file.modified for file in found.files), *map(_modified, folders))
    return _Opened(name, source, documents, modified, found.left_out)


def _pipe(source: str, path: Path, encoding: str | None, on_wait: Callable[[], None], one_of_several: bool) -> Document:
    """Opening a named pipe waits for its writer, as long as that takes; Ctrl-C ends it."""
    wait_notice = threading.Timer(PIPE_WAIT_SECONDS, on_wait)
    wait_notice.daemon = True
    wait_notice.start()
    try:
        with path.open("rb") as pipe:
            wait_notice.cancel()
            return _spooled("pipe", source, pipe, encoding, one_of_several)
    finally:
        wait_notice.cancel()


def source_of(path: Path) -> str:
    """Source of the file or folder at this path: the path; or its URI where the path is no UTF-8, which config.json cannot hold,
    or holds a newline, which separates sources."""
    absolute = path.absolute()
    name = str(absolute)
    return name if as_text(name) == name and "\n" not in name else absolute.as_uri()


def path_of(source: str) -> Path:
    """The path that a source names, which may be a `file:` URI."""
    if source.startswith(FILE_URI):
        return Path(os.fsdecode(unquote_to_bytes(source.removeprefix(FILE_URI))))
    return Path(os.path.expanduser(source))


def mode_of(source: str) -> int:
    """The mode of the file at the path that a source names; 0 where there is none."""
    try:
        return path_of(source).stat().st_mode
    except (OSError, ValueError, RuntimeError):
        return 0


def _spooled(name: str, source: str, stream: BinaryIO, encoding: str | None, one_of_several: bool) -> Document:
    """A stream can be read once, so it is copied to a temporary file, which is gone with the corpus."""
    file = tempfile.NamedTemporaryFile(prefix="llmlab-")  # noqa: SIM115
    shutil.copyfileobj(stream, file)
    file.flush()
    chosen = encoding or detect_encoding(file.name, shown_source(source))
    facts = file.name, name, os.path.getsize(file.name), chosen, source
    return _file(source, *facts, asked=encoding is not None, one_of_several=one_of_several, spool=file)
