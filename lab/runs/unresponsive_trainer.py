"""Diagnose a trainer that does not respond: gone, halted, unable to write into its folder, or on a machine of another clock."""

import os
import time
from collections.abc import Sequence

from lab.core.number_format import duration
from lab.core.safe_open import last_text_line, open_regular
from lab.core.visible_text import visible
from lab.runs.run_folder import ACTIVE, Run, is_on_other_host
from lab.runs.run_schema import Status

LAST_LINE_BYTES = 4096
"""Bytes at the end of trainer.log in which its last line is looked for."""
LISTEN_SECONDS = 3.0
"""Time to wait for a new heartbeat of a trainer on another machine, which writes one every second."""


def may_train_elsewhere(status: Status) -> bool:
    """True if a trainer on another machine has written this status and has not said that it has ended."""
    return is_on_other_host(status) and status.phase in ACTIVE


def heard_elsewhere(runs: Sequence[Run]) -> tuple[Run, Status] | None:
    """The first run whose trainer on another machine writes a new heartbeat within `LISTEN_SECONDS`, and its status.

    The time in it may be wrong, as the clock of that machine may be. All are listened to at once.
    """
    before = [(run, status) for run in runs if may_train_elsewhere(status := run.status())]
    deadline = time.monotonic() + LISTEN_SECONDS
    while before and time.monotonic() < deadline:
        for run, status in before:
            if run.status().heartbeat != status.heartbeat:
                return run, status
        time.sleep(0.1)
    return None


def listening_sentence(run: Run) -> str:
    """A sentence on the seconds for which the run is listened to before it is renamed or deleted; empty if it is not."""
    status = run.status()
    if not may_train_elsewhere(status) or run.is_alive():
        return ""
    return f"Listening for {LISTEN_SECONDS:.0f} seconds, as {run.name} may still be trained on {status.host}."


def unresponsive_reason(run: Run, status: Status, phase: str) -> str:
    """The reason for an interrupted or not answering run, in one sentence; empty for all others."""
    if phase == "not answering":
        silent = duration(max(0.0, time.time() - status.heartbeat))
        return (
            f"The trainer, process {status.pid}, has not responded for {silent}: it may be halted "
            f"(`kill -CONT {status.pid}` resumes it), or waiting for a disk or a processor core."
        )
    if phase != "interrupted":
        return ""
    if run.is_watched:
        return f"The trainer died at step {status.step}."
    saved = next((file.step for file in run.checkpoints() if file.name in ("last", "previous")), None)
    died = f"The trainer died at step {status.step}, " + (
        "and nothing is saved" if saved is None else f"and the last checkpoint is of step {saved}"
    )
    if not os.access(run.path, os.W_OK):
        return f"{died}: {visible(str(run.path))} is not writable now, so it could not save."
    said = _last_log_line(run, status)
    return f"{died}; its last output: {said}" if said else f"{died}."


def _last_log_line(run: Run, status: Status) -> str:
    """The last line of trainer.log, if it was written after the last status."""
    try:
        with open_regular(run.log_path) as file:
            if os.fstat(file.fileno()).st_mtime < status.heartbeat:
                return ""
            return visible(last_text_line(file, most=LAST_LINE_BYTES))
    except OSError:
        return ""
