"""The hidden folder that a run is prepared in: created, removed on failure, and cleaned up after a killed preparation."""

import itertools
import os
import platform
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lab.core.safe_open import run_folder_mode

_numbers = itertools.count(1)


@contextmanager
def unfinished_folder(home: Path) -> Iterator[Path]:
    """A new folder in `home`, which is created if need be. Whatever is raised inside, nothing is left of either."""
    made_home = not home.exists()
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    remove_abandoned(home)
    folder = home / f".preparing-{os.getpid()}-{next(_numbers)}@{platform.node()}"
    folder.mkdir(run_folder_mode(home))
    try:
        yield folder
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        if made_home:
            _remove_if_empty(home)
        raise


def remove_abandoned(home: Path) -> None:
    """Remove the folders of preparations that were killed on this machine."""
    for folder in home.glob(".preparing-*"):
        match = re.fullmatch(r"\.preparing-(\d+)-\d+@(.*)", folder.name)
        if match and match[2] == platform.node() and not is_running(int(match[1])):
            shutil.rmtree(folder, ignore_errors=True)


def is_running(pid: int) -> bool:
    import psutil  # type: ignore[import-untyped]

    return bool(psutil.pid_exists(pid))


def _remove_if_empty(folder: Path) -> None:
    try:
        folder.rmdir()
    except OSError:
        return  # somebody else has put something there
