"""Locks on a run, and commands to its trainer: the ways in which processes that share its folder stay out of each other's way.

The trainer's lock, and Inspect's, which keeps a run from being renamed or deleted, end with their process. Inspect's is a shared
lock on config.json, which works in a folder that can only be read. A command is a file, renamed into the run's control/ folder.
"""

import contextlib
import fcntl
import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple, get_args

from lab.core.atomic_io import temporary_beside, try_lock, write_synced
from lab.core.errors import DamagedFileError
from lab.core.safe_open import LARGEST_COMMAND, file_mode, is_real_folder, open_for_lock, read_regular

if TYPE_CHECKING:
    import filelock

LOOK_SECONDS = 0.5
"""Longest time for which a lock may seem taken because a process that checks it is waiting for a core."""
POLL_SECONDS = 0.01


def trainer_lock(path: Path) -> "filelock.BaseFileLock":
    """The lock that a trainer holds while it lives, not acquired yet.
    Raises DamagedFileError if something else has its name: the lock would be made where a link leads to."""
    import filelock

    with contextlib.suppress(OSError):
        os.close(open_for_lock(path))
    return filelock.FileLock(path, mode=file_mode(path.parent) | 0o600)  # its owner opens it to write, also in a read-only folder


def acquire_now(lock: "filelock.BaseFileLock") -> "filelock.AcquireReturnProxy[filelock.BaseFileLock]":
    """Acquire a lock that nobody holds, though others may look at it. Raises filelock.Timeout if it is held."""
    return lock.acquire(timeout=LOOK_SECONDS, poll_interval=POLL_SECONDS)


def trainer_lock_is_held(path: Path) -> bool:
    """True if some process holds the lock. Tries a shared lock, so that concurrent checks do not disturb each other."""
    return _try(path, fcntl.LOCK_SH) is not True


def _try(path: Path, kind: int) -> bool | None:
    """Try a lock as `try_lock` does, and let go of it; True where there is no such file."""
    try:
        descriptor = open_for_lock(path)
    except (OSError, DamagedFileError):
        return True
    try:
        return try_lock(descriptor, kind)
    finally:
        os.close(descriptor)


def hold_inspect_lock(folder: Path) -> int | None:
    """Hold a run until the returned descriptor is closed; None where the disk has no such locks."""
    try:
        descriptor = open_for_lock(folder / "config.json")
    except (OSError, DamagedFileError):
        return None  # whoever opens the run says what is wrong with it
    if try_lock(descriptor, fcntl.LOCK_SH, LOOK_SECONDS):
        return descriptor
    os.close(descriptor)
    return None


def inspect_lock_is_held(folder: Path) -> bool:
    """True if an engine holds the run, of this lab or of another."""
    return _try(folder / "config.json", fcntl.LOCK_EX) is False


CommandName = Literal["pause", "resume", "stop", "save", "sample", "discard"]
COMMANDS: tuple[CommandName, ...] = get_args(CommandName)
"""`stop` saves first, however long a full disk makes it wait; `discard` ends such a wait without saving. Both are files without
contents, which even a full disk takes."""
TICK = 1000
"""Nanoseconds between the times of two files that wait."""


class Command(NamedTuple):
    name: CommandName
    text: str
    """For `sample`, the prompt; empty for the run's own prompts."""


def send_command(folder: Path, name: CommandName, text: str = "") -> None:
    """Send a command to the trainer. The same command sent twice before the trainer takes it is one command.

    Raises:
        OSError: if the folder cannot be written.
        DamagedFileError: if it is a link.
    """
    folder.mkdir(stat.S_IMODE(folder.parent.stat().st_mode), exist_ok=True)
    if not is_real_folder(folder):
        raise DamagedFileError(folder, "is a link, not a folder")
    temporary = temporary_beside(folder / name)
    write_synced(temporary, [text.encode("utf-8", "replace")])
    # The clock may have been set back since the last one came, and many a file system's ticks are long.
    newest = max(_arrived(folder / waiting) for waiting in COMMANDS)
    try:
        if _arrived(temporary) <= newest:
            with suppress(PermissionError):  # on some disks a file is nobody's own; then the order is the clock's
                os.utime(temporary, ns=(newest + TICK, newest + TICK))
        os.replace(temporary, folder / name)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


def take_commands(folder: Path) -> list[Command]:
    """Take the waiting commands, oldest first, each once. Files of other names are left alone."""
    try:
        waiting = [name for name in COMMANDS if is_real_folder(folder) and name in set(os.listdir(folder))]
    except FileNotFoundError:
        return []
    taken = []
    for name in waiting:
        mine = folder / f".{name}.taken"
        try:
            os.replace(folder / name, mine)  # first, or one that is sent while the other is read would be removed unread
            words = read_regular(mine, LARGEST_COMMAND).decode("utf-8", "replace")
            taken.append((mine.stat().st_mtime_ns, Command(name, words)))
            mine.unlink()
        except (OSError, DamagedFileError):
            continue  # taken back by its sender
    return [command for _, command in sorted(taken)]


def _arrived(file: Path) -> int:
    """The time of a file in nanoseconds; 0 if it is gone."""
    try:
        return file.lstat().st_mtime_ns
    except FileNotFoundError:
        return 0
