"""`llmlab stop`: stop a training and save it."""

import shlex

import click

from lab.cli.command_registry import FAILED, complain
from lab.cli.completion import RUN
from lab.cli.trainer_answer import wait_until
from lab.core.errors import UserError


@click.command(short_help="Stop a training and save it.")
@click.argument("run", type=RUN)
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
