"""The three models of a post-training take the places of an earlier one's: all of them, or none. No torch.

Until the end they are made aside, in the work folder, and the earlier models stand, with their course in earlier.jsonl. The line
`Ended` with their names decides: before it, what was made aside is dropped; after it, they take their places, and where a kill
came between, the next command sees to it.
"""

import shutil
from contextlib import suppress
from pathlib import Path

import filelock

from lab.core.atomic_io import os_error_in_words, replace_atomic, sync_folder
from lab.core.errors import UserError
from lab.posttraining.history import PosttrainingFollower, PosttrainingHistory
from lab.posttraining.progress_log import MODELS, Ended
from lab.posttraining.work_folder import WorkFolder, check_replaceable, earlier_runs, tuned_name
from lab.runs.rename_delete import refuse_to_delete, replace_runs
from lab.runs.run_folder import Run
from lab.runs.run_locks import acquire_now, trainer_lock
from lab.runs.run_names import free_names


def begin(folder: WorkFolder) -> Path:
    """Begin progress.jsonl anew while the lock is held; return the folder to make the models in: the home, if none stand there.

    Raises:
        UserError: if one of the models that stand cannot be replaced now, and as `settle`.
        OSError: as the system says.
    """
    settle(folder)
    earlier = earlier_runs(folder.base, folder.home)
    refuse_to_delete(earlier)
    if not earlier:
        folder.earlier_path.unlink(missing_ok=True)
    elif _history(folder).saved:
        folder.progress_path.replace(folder.earlier_path)
    replace_atomic(folder.progress_path, [])
    return folder.aside_path if earlier else folder.home


def end_of(folder: WorkFolder, seconds: float) -> Ended:
    """The last line of a post-training that has made its models, aside if there are any: `settle` then does what it says.

    Where an earlier model cannot be replaced any more, the earlier ones keep their names, and the new ones get others.
    """
    if not folder.aside_path.exists():
        return Ended(is_finished=True, seconds=seconds)
    sync_folder(folder.path)
    names, message = {model: tuned_name(folder.base, model) for model in MODELS[1:]}, ""
    try:
        refuse_to_delete(earlier_runs(folder.base, folder.home))
    except UserError as error:
        names = {model: next(free_names(None, name, folder.home)) for model, name in names.items()}
        message = f"{error} So the earlier models stay, and the new ones are called {', '.join(names.values())}."
    return Ended(is_finished=True, seconds=seconds, message=message, runs=names)


def settle(folder: WorkFolder) -> None:
    """Give the models made aside their names, if all were made, else drop them. Only while the lock is held.

    Raises:
        UserError: if one cannot have its name now, or the system refuses.
    """
    history = _history(folder)
    if history.ended is not None and history.ended.is_finished:
        made = [(folder.aside_path / tuned_name(folder.base, model), name) for model, name in history.saved.items()]
        made = [(path, name) for path, name in made if path.exists()]
        for _, name in made:
            check_replaceable(folder.base, name, folder.home)
        replace_runs([path for path, _ in made], [Run(folder.home / name) for _, name in made])
        folder.earlier_path.unlink(missing_ok=True)
    try:
        if folder.aside_path.exists():
            shutil.rmtree(folder.aside_path)
    except OSError as error:
        raise os_error_in_words(error, f"remove {folder.aside_path}") from error


def settle_if_idle(folder: WorkFolder) -> None:
    """`settle` after a kill, for commands that show the result. Raises UserError as that."""
    if folder.aside_path.exists() and not folder.is_running():
        with suppress(filelock.Timeout), acquire_now(trainer_lock(folder.lock_path)):
            settle(folder)


def _history(folder: WorkFolder) -> PosttrainingHistory:
    follower = PosttrainingFollower(folder)
    follower.read()
    return follower.history
