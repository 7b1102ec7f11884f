"""Writing files so that a crash, a kill or a full disk leaves either the old contents or the new, never half of either."""

import errno
import os
from collections.abc import Iterable
from pathlib import Path

from lab.core.errors import UserError
from lab.core.safe_open import open_to_replace

Chunk = bytes | memoryview

NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
"""What the system answers when the disk, or the user's share of it, is full."""


def is_full(error: OSError) -> bool:
    """Whether a write failed for want of room, which is a reason to wait rather than to give up."""
    return error.errno in NO_ROOM


def is_refused(error: OSError) -> bool:
    """Whether the system does not let this user write there."""
    return error.errno in (errno.EACCES, errno.EPERM, errno.EROFS)


def write_all(descriptor: int, chunk: Chunk) -> None:
    """Writes every byte; the system may take a long write in pieces."""
    rest = memoryview(chunk).cast("B")
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def sync_folder(folder: Path) -> None:
    """Makes the renames in a folder last through a power cut, where the system can do that at all."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except PermissionError:
        return  # Windows opens no folders, and orders its renames by itself
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def temporary_beside(path: Path) -> Path:
    """A hidden name in the same folder, so that the rename stays within one file system; it says whose it is."""
    return path.with_name(f".{path.name}.{os.getpid()}.tmp")


def write_synced(path: Path, chunks: Iterable[Chunk]) -> None:
    """Writes a file that is on the disk when this returns, or removes it again.

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
    """Puts a file in place of whatever was there: temporary file, fsync, rename, fsync of the folder.

    Raises:
        OSError: as the system says; the file that was there is then untouched.
    """
    replace_atomic(path, [contents])


def replace_atomic(path: Path, chunks: Iterable[Chunk]) -> None:
    """The same of contents that come in parts."""
    temporary = temporary_beside(path)
    write_synced(temporary, chunks)
    os.replace(temporary, path)
    sync_folder(path.parent)


def remove_leftovers(folder: Path) -> None:
    """Removes the temporary files of writers that were killed. Only for the one process that may write in the folder."""
    for leftover in folder.glob(".*.tmp"):
        leftover.unlink(missing_ok=True)


def os_error_in_words(error: OSError, what: str) -> UserError:
    """A failed system call as a sentence: `Cannot <what>: no space left on device.`"""
    reason = (error.strerror or str(error)).lower()
    return UserError(f"Cannot {what}: {reason}.")
