"""Locks on a run: the trainer's, and the one that keeps a run open in Inspect from being renamed or deleted.

Both end with their process. Inspect's is a shared lock on config.json, which works in a folder that can only be read.
"""

import contextlib
import fcntl
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

from lab.core.errors import DamagedFileError
from lab.core.safe_open import file_mode, open_for_lock

if TYPE_CHECKING:
    import filelock


LOOK_SECONDS = 0.5
"""Longest time for which a lock may seem taken because a process that checks it is waiting for a core."""
POLL_SECONDS = 0.01


def trainer_lock(path: Path) -> "filelock.BaseFileLock":
    """The lock that a trainer holds while it lives, not acquired yet.

    Raises:
        DamagedFileError: if something else has its name: the lock would be made where a link leads to.
    """
    import filelock

    with contextlib.suppress(OSError):
        os.close(open_for_lock(path))
    return filelock.FileLock(path, mode=file_mode(path.parent))


def acquire_now(lock: "filelock.BaseFileLock") -> "filelock.AcquireReturnProxy[filelock.BaseFileLock]":
    """Acquire a lock that nobody holds, though others may look at it. Raises filelock.Timeout if it is held."""
    return lock.acquire(timeout=LOOK_SECONDS, poll_interval=POLL_SECONDS)


def trainer_lock_is_held(path: Path) -> bool:
    """True if some process holds the lock. Tries a shared lock, so that concurrent checks do not disturb each other."""
    try:
        descriptor = open_for_lock(path)
    except (OSError, DamagedFileError):
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False


def hold_inspect_lock(folder: Path) -> int | None:
    """Hold a run until the returned descriptor is closed; None where the disk has no such locks."""
    try:
        descriptor = open_for_lock(folder / "config.json")
    except (OSError, DamagedFileError):
        return None  # whoever opens the run says what is wrong with it
    give_up = time.monotonic() + LOOK_SECONDS
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return descriptor
        except BlockingIOError:
            if time.monotonic() < give_up:
                time.sleep(POLL_SECONDS)
                continue
        except OSError:
            pass  # the disk has no such locks
        os.close(descriptor)
        return None


def inspect_lock_is_held(folder: Path) -> bool:
    """True if an engine holds the run, of this lab or of another."""
    try:
        descriptor = open_for_lock(folder / "config.json")
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
