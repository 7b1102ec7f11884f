"""Rename and delete runs: atomically, by one rename of the folder, under the trainer's lock.

The folder's name is the run's. config.json keeps the name that it was made with.
"""

import itertools
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from lab.core.atomic_io import os_error_in_words, sync_folder
from lab.core.errors import DamagedFileError, UserError
from lab.runs.find_runs import is_run
from lab.runs.home_folder import demo
from lab.runs.run_folder import Run
from lab.runs.run_locks import acquire_now, inspect_lock_is_held, trainer_lock
from lab.runs.run_names import check_name

DELETED_PREFIX = ".deleting-"
"""Prefix of the hidden name of a run that is being deleted. Whoever finds one may remove it."""

_numbers = itertools.count(1)


def check_new_name(run: Run, name: str) -> str:
    """The name, if the run may be given it.

    Raises:
        UserError: as `lab.runs.run_names.check_name`; if it is the run's own; if something else has it.
    """
    check_name(name)
    if name == run.name:
        raise UserError(f"{name} is the run's name already.")
    there = run.path.with_name(name)
    if there.exists() and not there.samefile(run.path):
        what = "a run" if is_run(there) else "something else"
        raise UserError(f"There is {what} called {name} already; choose another name.")
    return name


def refuse_to_change(run: Run) -> None:
    """Check that the run may be renamed and deleted now. Raises UserError if it ships with the lab, or is being trained."""
    if run.path == demo():
        raise UserError(
            "demo is the model that ships with the lab: the lessons need it, so it can be neither renamed nor deleted."
        )
    if run.path.is_symlink():
        raise UserError(f"{run.name} is a link to {run.path.resolve()}; rename or delete that folder itself.")
    if run.is_alive():
        status = run.status()
        raise UserError(f"{run.name} is being trained by process {status.pid} on {status.host}; stop it first.")


def rename_run(run: Run, name: str) -> Run:
    """Rename a run in its folder; return it under its new name.

    Raises:
        UserError: as `check_new_name` and `refuse_to_change`; if the system does not allow it.
    """
    check_new_name(run, name)
    with _owned(run, "rename"):
        try:
            os.rename(run.path, run.path.with_name(name))
            sync_folder(run.path.parent)
        except OSError as error:
            raise os_error_in_words(error, f"rename {run.name}") from error
    return Run(run.path.with_name(name))


def delete_run(run: Run) -> int:
    """Delete the run and everything in its folder; return the bytes that this frees.

    It gets a hidden name first, so that a kill in the middle leaves no half of a run. What an earlier kill left goes too.

    Raises:
        UserError: as `refuse_to_change`; if the system does not allow it.
    """
    freed = size_of(run)
    home = run.path.parent
    hidden = home / f"{DELETED_PREFIX}{os.getpid()}-{next(_numbers)}"
    with _owned(run, "delete"):
        try:
            os.rename(run.path, hidden)
            sync_folder(home)
        except OSError as error:
            raise os_error_in_words(error, f"delete {run.name}") from error
    try:
        shutil.rmtree(hidden)
    except OSError as error:
        raise os_error_in_words(error, f"remove all of {run.name}, the rest of which is in {hidden}") from error
    for leftover in home.glob(f"{DELETED_PREFIX}*"):
        shutil.rmtree(leftover, ignore_errors=True)
    return freed


def size_of(run: Run) -> int:
    """Bytes on disk that deleting the run frees. Files with a second hard link elsewhere do not count."""
    total = 0
    for folder, _, names in os.walk(run.path):
        for name in names:
            try:
                facts = os.lstat(os.path.join(folder, name))
            except FileNotFoundError:
                continue  # replaced while we looked
            if facts.st_nlink == 1:
                total += getattr(facts, "st_blocks", -(-facts.st_size // 512)) * 512
    return total


@contextmanager
def _owned(run: Run, what: str) -> Iterator[None]:
    """Hold the run's trainer lock, so that no trainer can start meanwhile.

    Raises:
        UserError: if it cannot be had, or an engine has the run's weights open.
    """
    import filelock

    refuse_to_change(run)
    try:
        lock = trainer_lock(run.lock_path)
    except DamagedFileError:
        lock = None  # no trainer holds what is no file
    try:
        if lock is not None:
            acquire_now(lock)
    except filelock.Timeout:
        raise UserError(f"{run.name} is held by a trainer that is starting or ending; try again.") from None
    except OSError as error:
        raise os_error_in_words(error, f"{what} {run.name}") from error
    try:
        if inspect_lock_is_held(run.path):
            raise UserError(f"{run.name} is open in Inspect of another lab; close that lab first.")
        yield
    finally:
        if lock is not None:
            lock.release()
