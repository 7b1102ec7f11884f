"""Folders and files that a process has not finished, named after it: those of a process that was killed are removed."""

import itertools
import os
import platform
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from lab.core.safe_open import is_real_folder, make_private_folder, run_folder_mode

UNTOUCHED = 24 * 3600.0
"""Seconds after which what another container of this host left untouched is abandoned: its processes are not seen from here."""
_OWNER = re.compile(r"(\d{1,9})-\d+(?:-(\d+))?@(.*)")
_owners = itertools.count(1)


def owner() -> str:
    """Name of this process as the owner of a file or folder: process number, a counter, PID namespace and host.

    Containers may have one host name, and the same process number stands for another process in each.
    """
    return f"{os.getpid()}-{next(_owners)}-{_namespace()}@{platform.node()}"


def is_abandoned(path: Path, owned_by: str) -> bool:
    """True if the `owner` that made this file or folder on this machine was killed. False for one of another machine."""
    match = _OWNER.fullmatch(owned_by)
    if match is None or match[3] != platform.node():
        return False
    if match[2] in (None, str(_namespace())):
        import psutil  # type: ignore[import-untyped]

        return not psutil.pid_exists(int(match[1]))
    try:
        inside = list(path.iterdir()) if path.is_dir() else []
        touched = max(each.lstat().st_mtime for each in (path, *inside))
    except OSError:
        return False  # it is gone, or not ours to read
    return time.time() - touched > UNTOUCHED


def _namespace() -> int:
    """Number of this process's PID namespace; 0 where the system has no such namespaces."""
    try:
        return os.stat("/proc/self/ns/pid").st_ino
    except OSError:
        return 0


@contextmanager
def unfinished_folder(home: Path) -> Iterator[Path]:
    """A new folder in `home`, which is created if need be. Whatever is raised inside, nothing is left of either.

    Such folders of processes that were killed on this machine are removed.
    """
    made_home = not home.exists()
    make_private_folder(home)
    for earlier in home.glob(".preparing-*"):
        if is_abandoned(earlier, earlier.name.removeprefix(".preparing-")):
            shutil.rmtree(earlier, ignore_errors=True)
    folder = home / f".preparing-{owner()}"
    folder.mkdir(run_folder_mode(home))
    try:
        yield folder
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        if made_home:
            with suppress(OSError):  # somebody else has put something there
                home.rmdir()
        raise


def remove_abandoned(home: Path) -> None:
    """Remove the temporary files of writers that were killed, in the home and in its folders."""
    for folder in (home, *home.glob("*")):
        remove_abandoned_files(folder)


def remove_abandoned_files(folder: Path) -> None:
    """Remove the temporary files of writers of this machine that were killed, in a folder that is no link."""
    for leftover in folder.glob(".*.tmp") if is_real_folder(folder) else ():
        match = re.search(r"\.(\d{1,9}-\d+(?:-\d+)?@.*)\.tmp$", leftover.name)
        if match and is_abandoned(leftover, match[1]):
            with suppress(OSError):  # it is not ours
                leftover.unlink(missing_ok=True)
