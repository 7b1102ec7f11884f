"""The process that owns a temporary file or folder, written into its name, so that others leave it alone while that one lives."""

import itertools
import os
import platform
import re
import time
from pathlib import Path

UNTOUCHED = 24 * 3600.0
"""Seconds after which what another container of this host left untouched is abandoned: its processes are not seen from here."""
_OWNER = re.compile(r"(\d{1,9})-\d+(?:-(\d+))?@(.*)")
_numbers = itertools.count(1)


def owner() -> str:
    """This process in the name of a file or folder: its number and a second one, its namespace of process numbers, its host.

    Containers may have one host name, and the same process number stands for another process in each.
    """
    return f"{os.getpid()}-{next(_numbers)}-{_namespace()}@{platform.node()}"


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
    """Number of this process's namespace of process numbers; 0 where the system has none."""
    try:
        return os.stat("/proc/self/ns/pid").st_ino
    except OSError:
        return 0
