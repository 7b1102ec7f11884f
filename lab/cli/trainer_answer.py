"""The answer of a trainer that was asked to stop or to pause: its phase, which is waited for."""

import time

from lab.core.errors import UserError
from lab.runs.run_control import trainer_lock_is_held
from lab.runs.run_folder import ACTIVE, Run

ANSWER_SECONDS = 120.0
"""Longest wait for a trainer: it finishes its step, then a stop writes a checkpoint."""

POLL_SECONDS = 0.1


def wait_until(run: Run, *phases: str) -> str:
    """Wait until the run is in one of the phases, or has no trainer any more; return its phase.

    "no room" stands for a trainer that stops as soon as its full disk has room.
    Raises UserError if that takes longer than `ANSWER_SECONDS`."""
    give_up = time.monotonic() + ANSWER_SECONDS
    while time.monotonic() < give_up:
        status = run.status()
        phase = run.phase_of(status)
        if "no room" in phases and phase == "paused" and status.stopping:
            return "no room"
        if phase in phases or (phase not in ACTIVE and not trainer_lock_is_held(run.lock_path)):
            return phase
        time.sleep(POLL_SECONDS)
    raise UserError(
        f"The trainer of {run.name} has not responded for {ANSWER_SECONDS:.0f} s; it may still do so: see `llmlab runs`."
    )
