"""Write a file that the user has named: never over what is there unless they said so, whole or not at all."""

import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from lab.core.atomic_io import holds_run, os_error_in_words, sync_folder, temporary_beside
from lab.core.errors import UserError
from lab.core.safe_open import open_to_replace
from lab.core.visible_text import quoted

Chunk = bytes | memoryview


def check_export(path: Path, *, replace: bool = False) -> Path:
    """The file that an export to this path writes: where it is a link, the one that it leads to.

    Raises:
        UserError: if it cannot be written, is in a run or is no file; if it is there, unless the user said `replace`.
    """
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

    Raises:
        UserError: as `check_export`; if the system refuses.
    """
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
