"""`llmlab stop`: stop a training and save it."""

import shlex
import time

import click

from lab.cli.command_registry import FAILED, complain
from lab.core.errors import UserError
from lab.runs.run_control import trainer_lock_is_held
from lab.runs.run_folder import ACTIVE, Run


@click.command(short_help="Stop a training and save it.")
@click.argument("run")
@click.option("--discard", is_flag=True, help="Do not wait for space on a full disk: discard what is not saved.")
def stop(run: str, discard: bool) -> int:
    """Stop the training of RUN after its current step and save it. `llmlab resume` continues from there.

    On a full disk the trainer waits for space before it stops. The exit code is 0 if its last step is saved.
    """
    from lab.analysis.run_sentence import saved_step, stopped_sentence
    from lab.runs.find_runs import open_run

    found = open_run(run)
    found.send_command("discard" if discard else "stop")
    phase = wait_until(found, "stopped", "finished", "failed", *(() if discard else ("no room",)))
    status = found.status()
    if phase == "no room":
        saved = saved_step(found)
        lost = "all of it" if saved is None else f"what came after step {saved}"
        complain(
            f"{found.name} is not stopped yet: the disk is full, so that step {status.step} cannot be saved. It waits, and stops "
            f"as soon as there is room. `llmlab stop --discard {shlex.quote(run)}` gives up {lost}."
        )
        return FAILED
    if phase == "failed":
        raise UserError(f"{found.name} failed while it was stopping: {status.message}")
    if phase == "finished":
        click.echo(f"{found.name} had just finished its {status.step} steps.")
        return 0
    words, saved_now = stopped_sentence(found, f"llmlab resume {shlex.quote(run)}")
    if saved_now or discard:
        click.echo(words)
        return 0
    complain(words)
    return FAILED


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
