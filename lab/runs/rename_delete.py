"""Rename and delete runs: atomically, by one rename of the folder, under the trainer's lock.

The folder's name is the run's. config.json keeps the name that it was made with.
"""

import errno
import os
import platform
import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from lab.core.atomic_io import folder_lock, os_error_in_words, sync_folder
from lab.core.errors import DamagedFileError, UserError
from lab.core.unfinished_folder import is_abandoned, owner
from lab.runs.find_runs import is_run
from lab.runs.home_folder import BUNDLED, bundled, check_name
from lab.runs.run_control import acquire_now, inspect_lock_is_held, trainer_lock
from lab.runs.run_folder import Run, heard_elsewhere

DELETED_PREFIX = ".deleting-"
"""Prefix of the hidden name of a run that is being deleted; the process that deletes it follows."""
NAME_TAKEN = (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR)
"""Error numbers of renaming a folder to a name that something else has."""


def check_new_name(run: Run, name: str) -> str:
    """The name, if the run may be given it.
    Raises UserError as `lab.runs.home_folder.check_name`; if it is the run's own; if something else has it."""
    check_name(name)
    if name == run.name:
        raise UserError(f"{name} is the run's name already.")
    there = run.path.with_name(name)
    if os.path.lexists(there) and not _is_folder_of(run, there):
        raise _name_taken(there)
    return name


def refuse_if_gone(run: Run, *, in_training: bool = False) -> None:
    """Check that the run is still there. Raises UserError if it was renamed or deleted meanwhile, or while it was trained.

    The folder that its lock may have made anew is then removed.
    """
    if is_run(run.path):
        return
    with suppress(OSError):
        if os.listdir(run.path) == [run.lock_path.name]:
            run.lock_path.unlink()
            run.path.rmdir()
    after = " while it trained, which ends its trainer; if it was renamed, `llmlab resume NEW-NAME` resumes it"
    raise UserError(f"There is no run called {run.name} any more: it was renamed or deleted{after if in_training else ''}.")


def refuse_to_change(run: Run) -> None:
    """Check that the run may be renamed and deleted now. Raises UserError if it ships with the lab, or is being trained."""
    if run.path in map(bundled, BUNDLED):
        raise UserError(
            f"{run.name} is a model that ships with the lab: the lessons need it, so it can be neither renamed nor deleted."
        )
    run.refuse_if_watched()
    if run.path.is_symlink():
        raise UserError(f"{run.name} is a link to {run.path.resolve()}; rename or delete that folder itself.")
    if run.is_alive():
        status = run.status()
        raise UserError(f"{run.name} is being trained by process {status.pid} on {status.host}; stop it first.")


def rename_run(run: Run, name: str) -> Run:
    """Rename a run in its folder; return it under its new name.
    Raises UserError as `check_new_name` and `refuse_to_change`; if it is gone; if the system does not allow it."""
    check_new_name(run, name)
    there = run.path.with_name(name)
    with _owned([run], "rename"):
        check_new_name(run, name)
        try:
            os.rename(run.path, there)
            sync_folder(run.path.parent)
        except OSError as error:
            if error.errno in NAME_TAKEN:
                raise _name_taken(there) from error
            raise os_error_in_words(error, f"rename {run.name}") from error
    return Run(there)


def delete_run(run: Run) -> int:
    """Delete the run and everything in its folder; return the bytes that this frees.

    It gets a hidden name first, so that a kill in the middle leaves no half of a run. What an earlier kill left goes too.
    Raises UserError as `refuse_to_change`; if it is gone; if the system does not allow it."""
    return delete_runs([run])


def delete_runs(runs: Sequence[Run]) -> int:
    """Delete several runs, or none if one of them cannot be deleted. Otherwise as `delete_run`."""
    freed = sum(map(size_of, runs))
    with _owned(runs, "delete"):
        hidden = _hide(runs)
    problems = []
    for run, folder in zip(runs, hidden, strict=True):
        try:
            _remove(folder)
        except OSError as error:
            problems.append(os_error_in_words(error, f"remove all of {run.name}, the rest of which is in {folder}"))
    for home in {run.path.parent for run in runs}:
        # Remove the rest of deletions that were killed on this machine. An earlier llmlab left the host out of their names.
        for leftover in home.glob(f"{DELETED_PREFIX}*"):
            owned_by = leftover.name.removeprefix(DELETED_PREFIX)
            if is_abandoned(leftover, owned_by if "@" in owned_by else f"{owned_by}@{platform.node()}"):
                shutil.rmtree(leftover, ignore_errors=True)
    if problems:
        raise problems[0]
    return freed


def replace_run(run: Run, new: Path) -> None:
    """Delete a run if it is there, and give its name to the folder `new`. Raises: UserError: as `delete_run`."""
    gone = run.path.with_name(f"{DELETED_PREFIX}{owner()}")
    earlier = [run] if is_run(run.path) else []
    with _owned(earlier, "replace"):
        try:
            if earlier:
                os.rename(run.path, gone)
            os.rename(new, run.path)
            sync_folder(run.path.parent)
        except OSError as error:
            _renamed(gone, run.path)
            raise os_error_in_words(error, f"replace {run.name}") from error
    shutil.rmtree(gone, ignore_errors=True)


def _hide(runs: Sequence[Run]) -> list[Path]:
    """Give runs the hidden names of deleted ones, and return these; if one cannot have it, the others have their own again.
    Raises UserError in that case, with the reason."""
    hidden: list[Path] = []
    for run in runs:
        folder = run.path.with_name(f"{DELETED_PREFIX}{owner()}")
        try:
            os.rename(run.path, folder)
            hidden.append(folder)
            sync_folder(run.path.parent)
        except OSError as error:
            kept = [str(folder) for back, folder in zip(runs, hidden, strict=False) if not _renamed(folder, back.path)]
            what = f"delete {run.name}" + (f", nor name {' and '.join(kept)} as before" if kept else "")
            raise os_error_in_words(error, what) from error
    return hidden


def _renamed(folder: Path, name: Path) -> bool:
    """Rename a folder. False if the system does not allow it."""
    try:
        os.rename(folder, name)
    except OSError:
        return False
    return True


def refuse_to_delete(runs: Sequence[Run]) -> None:
    """Check that the runs can be deleted now. Raises UserError as `delete_run`."""
    with _owned(runs, "delete"):
        pass


def _remove(folder: Path) -> None:
    """Remove a folder with everything in it, which others may be removing too."""
    while os.path.lexists(folder):
        with suppress(FileNotFoundError):
            shutil.rmtree(folder)


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
def _owned(runs: Sequence[Run], what: str) -> Iterator[None]:
    """Hold the runs' trainer locks, so that no trainer can start meanwhile, and their homes', so that nobody else renames them.
    Raises UserError if a run is gone, is being trained, its lock cannot be had, or an engine has its weights open. Runs whose
    trainer on another machine seems gone are listened to."""
    for run in runs:
        refuse_to_change(run)
    if heard := heard_elsewhere(runs):
        run, status = heard
        raise UserError(
            f"{run.name} is being trained by process {status.pid} on {status.host}, whose clock is not this one's; stop it there."
        )
    with ExitStack() as held:
        for home in sorted({run.path.parent for run in runs}):
            held.enter_context(folder_lock(home))
        for run in runs:
            refuse_if_gone(run)
            refuse_to_change(run)
            held.enter_context(_trainer_lock_held(run, what))
            if inspect_lock_is_held(run.path):
                raise UserError(f"{run.name} is open in Inspect or Learn of another lab; close that lab first.")
        yield


@contextmanager
def _trainer_lock_held(run: Run, what: str) -> Iterator[None]:
    """Hold the trainer lock of the run that has this name now. Raises UserError as `_owned`.

    On a disk without locks of folders it may be renamed while we wait, and the lock is then another run's.
    """
    import filelock

    before = _identity(run.path)
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
        refuse_if_gone(run)
        if _identity(run.path) != before:
            raise UserError(f"{run.name} was replaced by another run meanwhile; try again.")
        yield
    finally:
        if lock is not None:
            lock.release()


def _identity(folder: Path) -> tuple[int, int] | None:
    """Numbers that stay with a folder when it is renamed; None for one that is gone."""
    try:
        facts = folder.lstat()
    except OSError:
        return None
    return facts.st_dev, facts.st_ino


def _is_folder_of(run: Run, path: Path) -> bool:
    """True if the path is another spelling of the run's own, as on a disk that ignores the case of letters."""
    try:
        return path.samefile(run.path)
    except OSError:
        return False


def _name_taken(there: Path) -> UserError:
    what = "a run" if is_run(there) else "something else"
    return UserError(f"There is {what} called {there.name} already; choose another name.")
