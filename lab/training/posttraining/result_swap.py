"""The three models of a post-training take the places of an earlier one's: all of them, or none. No torch.

Until the end they are made aside, in the work folder, and the earlier ones stand, with their course in earlier.jsonl. The line
`Ended` with their names decides: before it, what was made aside is dropped, and that course is progress.jsonl again; after it,
they take their places. After a kill the next command sees to that.
"""

import shutil
from contextlib import suppress
from pathlib import Path

import filelock

from lab.core.atomic_io import replace_atomic, sync_folder
from lab.core.errors import UserError
from lab.runs.home_folder import free_names
from lab.runs.metrics_log import LineWriter
from lab.runs.rename_delete import refuse_to_delete, replace_run
from lab.runs.run_folder import Run
from lab.runs.run_locks import acquire_now, trainer_lock
from lab.training.posttraining.posttraining_history import history_of
from lab.training.posttraining.posttraining_schema import MODELS, Ended
from lab.training.posttraining.work_folder import WorkFolder, check_replaceable, earlier_runs, tuned_name


def begin(folder: WorkFolder) -> Path:
    """Begin progress.jsonl anew while the lock is held; return the folder to make the models in: the home, if none stand there.

    Raises:
        UserError: if one of the models that stand cannot be replaced now; as `settle`.
    """
    settle(folder)
    earlier = earlier_runs(folder.base, folder.home)
    refuse_to_delete(earlier)
    if not earlier:
        folder.earlier_path.unlink(missing_ok=True)
    elif history_of(folder.progress_path).saved:
        folder.progress_path.replace(folder.earlier_path)
    replace_atomic(folder.progress_path, [])
    return folder.aside_path if earlier else folder.home


def end_of(folder: WorkFolder, seconds: float) -> Ended:
    """The last line of a post-training that has made its models, which `settle` then carries out.

    Where an earlier model cannot be replaced now, all of them stay, and the new ones get other names.
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
    """Give the models made aside their names if all were made, else go back to the earlier result. Only while the lock is held.

    Raises:
        UserError: if one cannot have its name now.
    """
    history = history_of(folder.progress_path)
    if history.ended is not None and history.ended.is_finished:
        for model, name in history.saved.items():
            made = folder.aside_path / tuned_name(folder.base, model)
            if made.exists():
                check_replaceable(folder.base, name, folder.home)
                replace_run(Run(folder.home / name), made)
        folder.earlier_path.unlink(missing_ok=True)
    elif folder.earlier_path.exists():
        earlier, writer = history_of(folder.earlier_path), LineWriter(folder.earlier_path)
        why = history.ended.message if history.ended is not None else "It was interrupted."
        seconds = earlier.ended.seconds if earlier.ended is not None else 0.0
        writer.write(Ended(is_finished=False, seconds=seconds, message=f"{why} The earlier result stands.", runs=earlier.saved))
        writer.close()
        folder.earlier_path.replace(folder.progress_path)
    shutil.rmtree(folder.aside_path, ignore_errors=True)


def settle_if_idle(folder: WorkFolder) -> None:
    """`settle` after a kill, for what shows the result."""
    if (folder.aside_path.exists() or folder.earlier_path.exists()) and not folder.is_running():
        with suppress(filelock.Timeout), acquire_now(trainer_lock(folder.lock_path)):
            settle(folder)
