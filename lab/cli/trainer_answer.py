"""The answer of a trainer that was asked to stop or to pause: its phase, which is waited for."""

import time
from contextlib import suppress

from lab.cli.command_registry import complain
from lab.core.errors import UserError
from lab.runs.rename_delete import refuse_if_gone
from lab.runs.run_control import trainer_lock_is_held
from lab.runs.run_folder import ACTIVE, Run, is_on_other_host
from lab.runs.run_schema import Status

ANSWER_SECONDS, SILENT_SECONDS = 120.0, 2.0
"""Longest wait for a trainer, which finishes its step, then writes a checkpoint to stop; and that without a word on it."""

POLL_SECONDS = 0.1


def wait_until(run: Run, *phases: str) -> str:
    """Wait until the run is in one of the phases, or has no trainer any more; return its phase.

    "no room" stands for a trainer that stops as soon as its full disk has room.
    Says after `SILENT_SECONDS` what it waits for. Raises UserError if that takes longer than `ANSWER_SECONDS`, or the run is
    gone."""
    begun, is_told = time.monotonic(), False
    while time.monotonic() < begun + ANSWER_SECONDS:
        status = run.status()
        if not is_told and time.monotonic() > begun + SILENT_SECONDS:
            complain(_waiting_sentence(run.name, status))
            is_told = True
        phase = run.phase_of(status)
        if "no room" in phases and phase == "paused" and status.stopping:
            return "no room"
        if phase in phases or (phase not in ACTIVE and not trainer_lock_is_held(run.lock_path)):
            refuse_if_gone(run, in_training=True)
            return phase
        time.sleep(POLL_SECONDS)
    raise UserError(
        f"The trainer of {run.name} has not responded for {ANSWER_SECONDS:.0f} s; it may still do so: see `llmlab runs`."
    )


def _waiting_sentence(name: str, status: Status) -> str:
    """What a command that was sent waits for, and what may be done."""
    import psutil  # type: ignore[import-untyped]

    pid, is_halted = status.pid, False
    with suppress(psutil.Error):
        is_halted = not is_on_other_host(status) and psutil.Process(pid).status() == psutil.STATUS_STOPPED
    waits = f"waiting up to {ANSWER_SECONDS:.0f} s; Ctrl-C ends the waiting, not the request"
    if is_halted:
        ways = f"`kill -CONT {pid}` resumes it, `kill -9 {pid}` ends it and loses the steps since the last checkpoint"
        return f"The trainer of {name}, process {pid}, is halted: {ways}; {waits}."
    return f"The trainer of {name}, process {pid} on {status.host}, finishes what it is at first; {waits}."
