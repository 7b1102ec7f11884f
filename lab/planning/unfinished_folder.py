"""The hidden folder that a run is prepared in: created, removed on failure, and cleaned up after a killed preparation."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lab.core.parallel.file_owner import is_abandoned, owner
from lab.core.safe_open import run_folder_mode


@contextmanager
def unfinished_folder(home: Path) -> Iterator[Path]:
    """A new folder in `home`, which is created if need be. Whatever is raised inside, nothing is left of either."""
    made_home = not home.exists()
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    remove_abandoned(home)
    folder = home / f".preparing-{owner()}"
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
        if is_abandoned(folder, folder.name.removeprefix(".preparing-")):
            shutil.rmtree(folder, ignore_errors=True)


def _remove_if_empty(folder: Path) -> None:
    try:
        folder.rmdir()
    except OSError:
        return  # somebody else has put something there
