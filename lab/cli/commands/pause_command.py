"""`llmlab pause`: pause a training; its process stays."""

import shlex

import click

from lab.cli.completion import RUN
from lab.cli.trainer_answer import wait_until
from lab.core.errors import UserError


@click.command(short_help="Pause a training.")
@click.argument("run", type=RUN)
def pause(run: str) -> None:
    """Pause the training of RUN. Its process and memory stay; `llmlab resume` continues it."""
    from lab.runs.find_runs import open_run

    found = open_run(run)
    if found.phase() == "paused":
        raise UserError(f"{found.name} is paused already; `llmlab resume {shlex.quote(run)}` continues it.")
    found.send_command("pause")
    phase = wait_until(found, "paused")
    step = found.status().step
    if phase != "paused":
        raise UserError(f"{found.name} ended at step {step} before it could be paused.")
    click.echo(f"{found.name} is paused at step {step}. `llmlab resume {shlex.quote(run)}` continues it.")
