"""Atomic and synced writes of files: after a crash, a kill or a full disk one has its old contents or the new. Locks of folders.

A file that the user has named is written by `export_file`: never over what is there unless they said so.
"""

import errno
import fcntl
import itertools
import os
import stat
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from lab.core.errors import UserError
from lab.core.safe_open import open_to_replace
from lab.core.unfinished_folder import owner
from lab.core.visible_text import quoted

Chunk = bytes | memoryview

LOCK_TIMEOUT = 5.0
"""Seconds that a writer waits for another, which may be suspended while it holds the lock."""
LOCK_POLL_SECONDS = 0.005


def is_disk_full(error: OSError) -> bool:
    """True if a write failed because the disk is full: a reason to wait, not to give up."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT)


def is_write_denied(error: OSError) -> bool:
    """True if this user may not write there."""
    return error.errno in (errno.EACCES, errno.EPERM, errno.EROFS)


def write_all(descriptor: int, chunk: Chunk) -> None:
    """Write every byte; the system may take a long write in pieces."""
    rest = memoryview(chunk).cast("B")
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def append_whole(descriptor: int, chunk: Chunk) -> None:
    """Append every byte or none: if the system refuses a part, what was written before it is removed again."""
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
    """A new name for a temporary file in the same folder, and so on the same file system. It is never too long."""
    return path.with_name(f".{path.name[:30]}.{owner()}.tmp")


def write_synced(path: Path, chunks: Iterable[Chunk], *, is_lasting: bool = True) -> None:
    """Write a file, and fsync it unless a power cut may take it (`is_lasting`); remove it again if that fails.

    Raises:
        OSError: as the system says.
        DamagedFileError: if something other than a regular file has this name.
    """
    descriptor = open_to_replace(path)
    try:
        try:
            for chunk in chunks:
                write_all(descriptor, chunk)
            if is_lasting:
                os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def write_atomic(path: Path, contents: bytes) -> None:
    """Replace a file atomically: temporary file, fsync, rename, fsync of the folder.
    Raises OSError as the system says; the file that was there is then untouched."""
    replace_atomic(path, [contents])


def replace_atomic(path: Path, chunks: Iterable[Chunk], *, is_lasting: bool = True) -> None:
    """`write_atomic` of contents that come in parts, without fsync if a power cut may take them. A file that was there keeps its
    permissions."""
    temporary, mode = temporary_beside(path), None
    with suppress(FileNotFoundError):
        if stat.S_ISREG(found := path.lstat().st_mode):
            mode = stat.S_IMODE(found)
            temporary.touch(0o600)  # nobody else reads it meanwhile
    write_synced(temporary, chunks, is_lasting=is_lasting)
    try:
        if mode is not None:
            temporary.chmod(mode)
        os.replace(temporary, path)
    except OSError:
        temporary.unlink(missing_ok=True)  # the next one has another name, and would lie beside it
        raise
    if is_lasting:
        sync_folder(path.parent)


def keep_damaged(path: Path, tell: Callable[[str], None]) -> None:
    """Rename a file that cannot be used and is about to be replaced, and tell of it. Raises OSError as the system says."""
    if path.is_file():
        names = (path.with_name(f"{path.name}.bak{'' if number == 1 else number}") for number in itertools.count(1))
        kept = next(name for name in names if not os.path.lexists(name))
        path.rename(kept)
        tell(f"The damaged {path.name} is kept as {kept}.")


def try_lock(descriptor: int, kind: int, seconds: float = 0.0) -> bool | None:
    """Lock an open file or folder, shared or exclusive (`kind` of fcntl), within so many seconds.

    True if it is locked; False if others hold it all the time; None on a disk that has no such locks.
    """
    give_up = time.monotonic() + seconds
    while True:
        try:
            fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() >= give_up:
                return False
            time.sleep(LOCK_POLL_SECONDS)
        except OSError:
            return None


@contextmanager
def folder_lock(folder: Path, timeout: float = LOCK_TIMEOUT) -> Iterator[None]:
    """Lock of a folder, in which one thread of one process at a time reads, changes and writes a small file.

    It waits at most `timeout` seconds, and not at all where the folder is missing or the disk has no such locks.
    """
    descriptor = None
    with suppress(OSError):  # whoever reads or writes there says what is wrong with it
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        if descriptor is not None:
            try_lock(descriptor, fcntl.LOCK_EX, timeout)
        yield
    finally:
        if descriptor is not None:
            os.close(descriptor)


def remove_leftovers(folder: Path) -> None:
    """Remove the temporary files of writers that were killed. Only for the one process that may write in the folder."""
    for leftover in folder.glob(".*.tmp"):
        leftover.unlink(missing_ok=True)


def os_error_in_words(error: OSError, what: str) -> UserError:
    """A failed system call as a sentence: `Cannot <what>: no space left on device.`"""
    reason = (error.strerror or str(error)).lower()
    return UserError(f"Cannot {what}: {reason}.")


def holds_run(folder: Path) -> bool:
    """True if a run is in the folder, also one that never trained; a model folder of Hugging Face's has a config.json, too."""
    return any(all(os.path.lexists(folder / name) for name in ("config.json", own)) for own in ("status.json", "tokens.bin"))


def check_export(path: Path, *, replace: bool = False) -> Path:
    """The file that an export to this path writes: where it is a link, the one that it leads to.
    Raises UserError if it cannot be written, is in a run or is no file; if it is there, unless the user said `replace`."""
    shown = quoted(str(path))
    try:
        target = Path(os.path.realpath(path))
        if any(holds_run(folder) for folder in target.parents):
            raise UserError(f"{shown} is in the folder of a run; choose another place.")
        if not target.parent.is_dir():
            raise UserError(f"There is no folder {target.parent} to write {quoted(target.name)} into.")
        facts = None
        with suppress(FileNotFoundError):
            facts = target.stat()
        if facts is not None and not stat.S_ISREG(facts.st_mode):
            raise UserError(f"{shown} is not a file; choose another name.")
        if facts is not None and not replace:
            raise UserError(f"{shown} exists already; choose another name, or --force to replace it.")
        if not os.access(target.parent if facts is None else target, os.W_OK):
            raise PermissionError(0, "permission denied")
    except OSError as error:
        raise os_error_in_words(error, f"write {shown}") from error
    return target


@contextmanager
def export_file(path: Path, *, replace: bool = False) -> Iterator[BinaryIO]:
    """A file open for writing that gets its name when it is complete; what has the name stays until then.

    Every export of the user's is written by it: not into a run, not over another file without the user's word, through a link to
    the file that it leads to, and with the permissions that this file had.
    Raises UserError as `check_export`; if the system refuses."""
    target = check_export(path, replace=replace)
    temporary = temporary_beside(target)
    try:
        with os.fdopen(open_to_replace(temporary), "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        if check_export(path, replace=replace).exists():
            temporary.chmod(target.stat().st_mode & 0o7777)
        os.replace(temporary, target)
        sync_folder(target.parent)
    except OSError as error:
        raise os_error_in_words(error, f"write {quoted(str(path))}") from error
    finally:
        temporary.unlink(missing_ok=True)


def write_export(path: Path, chunks: Iterable[Chunk], *, replace: bool = False) -> int:
    """Write a whole file; return its size. Raises: UserError: as `export_file`."""
    with export_file(path, replace=replace) as file:
        for chunk in chunks:
            file.write(chunk)
        return file.tell()
