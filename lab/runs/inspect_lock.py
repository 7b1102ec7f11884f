"""Which runs are open in a lab: an engine that has a run's weights in memory holds its config.json with a shared lock.

The lock ends with its process, and needs no writing, so that it works in a folder that can only be read.
"""

import contextlib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from lab.core.errors import DamagedFileError
from lab.core.safe_open import file_mode, open_to_hold

if TYPE_CHECKING:
    import filelock


def run_lock(path: Path) -> "filelock.BaseFileLock":
    """The lock that a trainer holds for as long as it lives; not held yet.

    Raises:
        DamagedFileError: if something else has its name: the lock would be made where a link leads to.
    """
    import filelock

    with contextlib.suppress(OSError):
        os.close(open_to_hold(path))
    return filelock.FileLock(path, mode=file_mode(path.parent))


def hold(folder: Path) -> int | None:
    """Holds a run until the descriptor that this returns is closed; None where the system or its disk has no such locks."""
    if sys.platform == "win32":
        return None
    import fcntl

    try:
        descriptor = open_to_hold(folder / "config.json")
    except (OSError, DamagedFileError):
        return None  # whoever opens the run says what is wrong with it
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor


def is_held(folder: Path) -> bool:
    """Whether an engine holds the run, of this lab or of another."""
    if sys.platform == "win32":
        return False
    import fcntl

    try:
        descriptor = open_to_hold(folder / "config.json")
    except (OSError, DamagedFileError):
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return False
