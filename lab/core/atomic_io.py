"""Atomic and synced file writes: after a crash, a kill or a full disk a file has its old contents or the new."""

import errno
import itertools
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from lab.core.errors import UserError
from lab.core.safe_open import open_to_replace

Chunk = bytes | memoryview

DISK_FULL_ERRORS = (errno.ENOSPC, errno.EDQUOT)
"""Error numbers of a full disk and of a full quota."""

LOCK_TIMEOUT = 5.0
"""Seconds after which a writer no longer waits for another, who may have been stopped in the middle."""
LOCK_POLL_SECONDS = 0.005

_numbers = itertools.count(1)


def is_disk_full(error: OSError) -> bool:
    """True if a write failed because the disk is full: a reason to wait, not to give up."""
    return error.errno in DISK_FULL_ERRORS


def is_write_denied(error: OSError) -> bool:
    """True if this user may not write there."""
    return error.errno in (errno.EACCES, errno.EPERM, errno.EROFS)


def write_all(descriptor: int, chunk: Chunk) -> None:
    """Write every byte; the system may take a long write in pieces."""
    rest = memoryview(chunk).cast("B")
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def append_whole(descriptor: int, chunk: Chunk) -> None:
    """Append every byte or none: what was written of it before the system refused the rest is taken back."""
    end = os.fstat(descriptor).st_size
    try:
        write_all(descriptor, chunk)
    except OSError:
        os.ftruncate(descriptor, end)
        raise


def sync_folder(folder: Path) -> None:
    """fsync a folder, so that renames in it survive a power cut."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except PermissionError:
        return  # Windows opens no folders, and orders its renames by itself
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def temporary_beside(path: Path) -> Path:
    """Another name at each call, never too long, for a temporary file in the same folder: the same file system."""
    return path.with_name(f".{path.name[:50]}.{os.getpid()}-{next(_numbers)}.tmp")


def write_synced(path: Path, chunks: Iterable[Chunk]) -> None:
    """Write and fsync a file; remove it again if that fails.

    Raises:
        OSError: as the system says.
        DamagedFileError: if something other than a regular file has this name.
    """
    descriptor = open_to_replace(path)
    try:
        try:
            for chunk in chunks:
                write_all(descriptor, chunk)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def write_atomic(path: Path, contents: bytes) -> None:
    """Replace a file atomically: temporary file, fsync, rename, fsync of the folder.

    Raises:
        OSError: as the system says; the file that was there is then untouched.
    """
    replace_atomic(path, [contents])


def replace_atomic(path: Path, chunks: Iterable[Chunk]) -> None:
    """`write_atomic` of contents that come in parts."""
    temporary = temporary_beside(path)
    write_synced(temporary, chunks)
    try:
        os.replace(temporary, path)
    except OSError:
        temporary.unlink(missing_ok=True)  # the next one has another name, and would lie beside it
        raise
    sync_folder(path.parent)


def keep_damaged(path: Path, tell: Callable[[str], None]) -> None:
    """Rename a file that cannot be used and is about to be replaced, and tell of it. Raises OSError as the system says."""
    if path.is_file():
        names = (path.with_name(f"{path.name}.bak{'' if number == 1 else number}") for number in itertools.count(1))
        kept = next(name for name in names if not os.path.lexists(name))
        path.rename(kept)
        tell(f"The damaged {path.name} is kept as {kept}.")


@contextmanager
def folder_lock(folder: Path) -> Iterator[None]:
    """Lock of a folder, in which one thread of one process at a time reads, changes and writes a small file.

    Where the folder is not there, or the system or the disk has no such locks, nobody waits; nor longer than LOCK_TIMEOUT.
    """
    descriptor = None if sys.platform == "win32" else _opened(folder)
    try:
        if descriptor is not None:
            _acquire(descriptor)
        yield
    finally:
        if descriptor is not None:
            os.close(descriptor)


def _opened(folder: Path) -> int | None:
    with suppress(OSError):  # whoever reads or writes there says what is wrong with it
        return os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    return None


def _acquire(descriptor: int) -> None:
    """Lock the folder of this descriptor until it is closed."""
    import fcntl

    give_up = time.monotonic() + LOCK_TIMEOUT
    while time.monotonic() < give_up:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(LOCK_POLL_SECONDS)
        except OSError:
            return  # the disk has no such locks
        else:
            return


def remove_leftovers(folder: Path) -> None:
    """Remove the temporary files of writers that were killed. Only for the one process that may write in the folder."""
    for leftover in folder.glob(".*.tmp"):
        leftover.unlink(missing_ok=True)


def os_error_in_words(error: OSError, what: str) -> UserError:
    """A failed system call as a sentence: `Cannot <what>: no space left on device.`"""
    reason = (error.strerror or str(error)).lower()
    return UserError(f"Cannot {what}: {reason}.")
