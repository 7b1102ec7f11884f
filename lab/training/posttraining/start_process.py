"""Start and stop the process of a post-training. No torch."""

import platform
import signal
from pathlib import Path

import msgspec
import psutil  # type: ignore[import-untyped]

from lab.core.atomic_io import os_error_in_words
from lab.core.detached_process import DetachedProcess, torch_environment
from lab.core.errors import UserError
from lab.runs.run_folder import Run
from lab.training.posttraining.posttraining_history import PosttrainingFollower
from lab.training.posttraining.posttraining_schema import PosttrainSettings
from lab.training.posttraining.work_folder import WorkFolder, check_base

MODULE = "lab.training.posttraining.posttraining_process"


def start_posttraining(base: Run, home: Path, settings: PosttrainSettings, prediction: str = "") -> WorkFolder:
    """Start the process and wait until it has begun. It belongs to no terminal and outlives this process.

    The runs of an earlier post-training of this base are replaced. `prediction` is the learner's, kept in progress.jsonl.

    Raises:
        UserError: as `check_base` and `WorkFolder.make`; if one runs already; if the process could not begin, with the last line
            of its log, as where one of those runs cannot be replaced now.
    """
    check_base(base, home)
    folder = WorkFolder(base.name, home)
    if folder.is_running():
        raise UserError(f"{base.name} is being post-trained already.")
    try:
        folder.make()
        process = DetachedProcess(
            MODULE,
            (str(base.path), str(home), msgspec.json.encode(settings).decode(), prediction),
            log=folder.log_path,
            folder=folder.path,
            environment=torch_environment(1),
        )
    except OSError as error:
        raise os_error_in_words(error, f"start post-training {base.name}") from error
    follower = PosttrainingFollower(folder)

    def has_begun() -> bool:
        follower.read()
        return follower.history.begun is not None and follower.history.begun.pid == process.pid

    process.wait_for_start(has_begun, f"The post-training of {base.name}")
    return folder


def stop_posttraining(folder: WorkFolder) -> bool:
    """Ask the process to end, which it does within a round. False if there is none to ask on this machine."""
    follower = PosttrainingFollower(folder)
    follower.read()
    begun = follower.history.begun
    if begun is None or follower.history.ended is not None or begun.host != platform.node() or not folder.is_running():
        return False
    try:
        process = psutil.Process(begun.pid)
        # The file is input, not truth: it may name a process of something else.
        if not any(word.endswith(MODULE.rpartition(".")[2]) for word in process.cmdline()):  # of any version: folders move
            return False
        process.send_signal(signal.SIGTERM)
    except psutil.Error:
        return False
    return True
