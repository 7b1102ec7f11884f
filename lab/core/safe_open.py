"""Open and read files of a run: regular files only, no link followed, never waiting, with a bound on the size, JSON as a type.

A run folder is input, not truth. A named pipe in it would block whoever opens it, a device can answer for ever, a link leads to
a file of somebody else, and a sparse file of a terabyte costs nothing to make. So each file of a run is opened here, once.
"""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO, TypeVar

import msgspec

from lab.core.errors import DamagedFileError, UserError
from lab.core.visible_text import visible

FLAGS = os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
"""Flags of every opening. On a regular file O_NONBLOCK changes nothing; a named pipe or a device is then opened without
waiting."""
IS_LINK = (errno.ELOOP, errno.EMLINK)
"""Errors of O_NOFOLLOW on a link: Linux and macOS, FreeBSD."""

KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def open_regular(path: str | Path, most: int | None = None, *, follow: bool = False) -> BufferedReader:
    """A regular file, open for reading its bytes.

    `most` bounds its size in bytes. `follow` allows a link, for texts of the user; no file of a run may be one.

    Raises:
        FileNotFoundError, PermissionError, OSError: as the system says.
        DamagedFileError: if it is a link, a folder, a named pipe, a device or a socket, or larger than `most`.
    """
    return os.fdopen(_open(path, os.O_RDONLY, most, follow), "rb")


def read_regular(path: str | Path, most: int, *, follow: bool = False) -> bytes:
    """All bytes of a regular file of at most `most` bytes. Raises what `open_regular` does."""
    with open_regular(path, most, follow=follow) as file:
        contents = file.read(most + 1)
    if len(contents) > most:
        raise too_large(path, len(contents), most)
    return contents


def open_for_lock(path: str | Path) -> int:
    """A descriptor for reading a regular file, or for locking it. Raises what `open_regular` does."""
    return _open(path, os.O_RDONLY, None, False)


@contextmanager
def opened_by_name(path: str | Path) -> Iterator[str]:
    """A name of the opened file for libraries that open by name: on Linux and macOS it can lead nowhere else meanwhile.

    Raises what `open_regular` does.
    """
    descriptor = open_for_lock(path)
    try:
        yield f"/dev/fd/{descriptor}" if os.path.exists(f"/dev/fd/{descriptor}") else os.fspath(path)
    finally:
        os.close(descriptor)


def open_to_append(path: str | Path) -> int:
    """A descriptor that appends to a regular file, which is made where it is missing. Raises what `open_regular` does."""
    return _open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, None, False)


def open_to_replace(path: str | Path) -> int:
    """A descriptor of an emptied regular file, which is made where it is missing. Raises what `open_regular` does."""
    descriptor = _open(path, os.O_WRONLY | os.O_CREAT, None, False)
    try:
        os.ftruncate(descriptor, 0)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def open_to_overwrite(path: str | Path) -> int:
    """A descriptor that writes over a regular file from its start and leaves the rest. Raises what `open_regular` does."""
    return _open(path, os.O_WRONLY, None, False)


def file_mode(folder: Path) -> int:
    """The permissions of a file made in this folder: whoever may read the folder may read the file. The umask takes some away."""
    try:
        return folder.stat().st_mode & 0o666
    except OSError:
        return 0o600


def run_folder_mode(home: Path) -> int:
    """The permissions of a new run's folder: its owner's alone, since texts can be private.

    Where the home is shared on purpose, which its set-group-ID bit says (`chmod g+s`), they are what the umask leaves.
    """
    return 0o777 if home.stat().st_mode & stat.S_ISGID else 0o700


def make_private_folder(folder: Path) -> None:
    """Make a folder, and those above it that are missing, each its owner's alone. Raises OSError as the system says."""
    if not folder.parent.exists():
        make_private_folder(folder.parent)
    folder.mkdir(0o700, exist_ok=True)


def is_real_folder(path: str | Path) -> bool:
    """True for a folder that is no link, so that its files lie in the run."""
    try:
        return stat.S_ISDIR(os.lstat(path).st_mode)
    except OSError:
        return False


def refuse_link(folder: Path) -> None:
    """Check that nothing else has the name of a folder, which may be missing.
    Raises UserError if it is a link, which would lead its files elsewhere, or no folder."""
    if os.path.lexists(folder) and not is_real_folder(folder):
        kind = "is a link" if folder.is_symlink() else "is not a folder"
        raise UserError(f"{folder} {kind}, but llmlab keeps a folder of its own there; remove or rename it.")


def too_large(path: str | Path, size: int, most: int) -> DamagedFileError:
    """The error for a file that is beyond its bound."""
    return DamagedFileError(Path(path), f"has {size:,} bytes, of {most:,} that it may have")


def _open(path: str | Path, flags: int, most: int | None, follow: bool) -> int:
    mode = file_mode(Path(path).parent) if flags & os.O_CREAT else 0
    try:
        descriptor = os.open(path, flags | FLAGS | (0 if follow else os.O_NOFOLLOW), mode)
    except OSError as error:
        if (wrong := _wrong_kind(path, error)) is None:
            raise
        raise DamagedFileError(Path(path), wrong) from error
    try:
        facts = os.fstat(descriptor)
        if not stat.S_ISREG(facts.st_mode):
            raise DamagedFileError(Path(path), f"is {_kind(facts.st_mode)}, not a regular file")
        if most is not None and facts.st_size > most:
            raise too_large(path, facts.st_size, most)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _wrong_kind(path: str | Path, error: OSError) -> str | None:
    """The reason in words, if the system refused to open the path because it is no regular file; None for any other."""
    if error.errno in IS_LINK:
        return "is a link, not a regular file"
    if error.errno not in (errno.ENXIO, errno.EISDIR, errno.ENODEV, errno.EOPNOTSUPP, errno.EACCES, errno.EPERM):
        return None
    try:
        mode = os.lstat(path).st_mode
    except OSError:
        return None
    return None if stat.S_ISREG(mode) or stat.S_ISLNK(mode) else f"is {_kind(mode)}, not a regular file"


def _kind(mode: int) -> str:
    return KINDS.get(stat.S_IFMT(mode), "something else")


BLOCK_BYTES = 64 * 1024
"""Bytes that are read at once. A line that is longer than four of them is cut."""


def lines_backwards(file: BinaryIO, start: int = 0, most: int = 1 << 62) -> Iterator[bytes]:
    """The whole lines after about byte `start` and in about the last `most` bytes, the last first.

    Text after the last newline is left out. The line nearest to `start` may lack its beginning.
    """
    end = os.fstat(file.fileno()).st_size
    start = max(start, end - most)
    rest: bytes | None = None
    while end > start:
        begin = max(0, end - BLOCK_BYTES)
        file.seek(begin)
        block = file.read(end - begin)
        first, *lines = (block if rest is None else block + rest).split(b"\n")
        if rest is None and lines:
            lines.pop()
        yield from reversed(lines)
        rest, end = first[: 4 * BLOCK_BYTES] if rest is not None or b"\n" in block else None, begin
    if rest:
        yield rest


def last_text_line(file: BinaryIO, start: int = 0, most: int = BLOCK_BYTES) -> str:
    """The last line that is not blank after byte `start`, whether or not a newline ends it; empty where there is none."""
    file.seek(max(start, os.fstat(file.fileno()).st_size - most))
    lines = file.read(most).decode(errors="replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "")


T = TypeVar("T")

LARGEST_CONFIG = 8 << 20
"""Bytes of config.json, whose prompts may have megabytes."""
LARGEST_STATUS = 1 << 16
LARGEST_TOKENIZER = 64 << 20
"""GPT-2's tokenizer.json has 1 MB, and that of the largest vocabulary about 30."""
LARGEST_COMMAND = 4 << 20
LARGEST_LINES = 4 << 30
"""metrics.jsonl and the other files of lines; twenty million steps."""
LARGEST_LINE = 4 << 20
"""One line of them."""

LONGEST_REASON = 300

JSON_ERRORS = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""Errors of decoding JSON: malformed, of another type or out of bounds; no UTF-8; nested too deeply."""


def read_json(path: Path, kind: type[T], most: int) -> T:
    """A JSON file as a type.

    Raises:
        OSError: as the system says.
        DamagedFileError: if it is no regular file, larger than `most` bytes, or no JSON of this type within its bounds.
    """
    return decode_json(path, read_regular(path, most), kind)


def decode_json(path: Path, raw: bytes, kind: type[T]) -> T:
    """`read_json` of bytes that were read already; the error names `path`."""
    try:
        return msgspec.json.decode(raw, type=kind)
    except JSON_ERRORS as error:
        raise DamagedFileError(path, f"is damaged: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    return visible(str(error)[:LONGEST_REASON]).removesuffix(".")
