"""What a screen or a command asks of a running trainer: one file per command, put into the run's control/ folder by a rename."""

import os
from pathlib import Path
from typing import Literal, NamedTuple, get_args

CommandName = Literal["pause", "resume", "stop", "save", "sample", "discard"]
COMMANDS: tuple[CommandName, ...] = get_args(CommandName)
"""`stop` saves first, however long a full disk makes it wait; `discard` ends such a wait without saving. Both are files without
contents, which even a full disk takes."""


class Command(NamedTuple):
    name: CommandName
    text: str
    """For `sample`, the prompt; empty for the run's own prompts."""


def send(folder: Path, name: CommandName, text: str = "") -> None:
    """Leaves a command for the trainer. The same command sent twice before the trainer looks is one command.

    Raises:
        OSError: if the folder cannot be written.
    """
    folder.mkdir(exist_ok=True)
    temporary = folder / f".{name}.{os.getpid()}"
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, folder / name)


def take(folder: Path) -> list[Command]:
    """Takes the waiting commands, oldest first; each is given out once. Names that are no command are left alone."""
    try:
        waiting = [name for name in COMMANDS if name in set(os.listdir(folder))]
    except FileNotFoundError:
        return []
    taken = []
    for name in waiting:
        mine = folder / f".{name}.taken"
        try:
            os.replace(folder / name, mine)  # first, or one that is sent while the other is read would be removed unread
            taken.append((mine.stat().st_mtime_ns, Command(name, mine.read_text(encoding="utf-8", errors="replace"))))
            mine.unlink()
        except OSError:
            continue  # taken back by whoever sent it
    return [command for _, command in sorted(taken)]
