"""Commands to a running trainer: one file each, renamed into the run's control/ folder."""

import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import Literal, NamedTuple, get_args

from lab.core.atomic_io import temporary_beside, write_synced
from lab.core.errors import DamagedFileError
from lab.core.safe_open import LARGEST_COMMAND, is_real_folder, read_regular

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


def send(folder: Path, name: CommandName, text: str = "") -> None:
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


def take(folder: Path) -> list[Command]:
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
