"""`llmlab pause`: pause a training; its process stays."""

import shlex

import click

from lab.cli.wait_for_run import wait_until
from lab.core.errors import UserError


@click.command(short_help="Hold a training.")
@click.argument("run")
def pause(run: str) -> None:
    """Hold the training of RUN. Its process stays and keeps its memory; `llmlab resume` lets it go on."""
    from lab.runs.run_store import open_run

    found = open_run(run)
    if found.phase() == "paused":
        raise UserError(f"{found.name} is paused already; `llmlab resume {shlex.quote(run)}` lets it go on.")
    found.send_command("pause")
    phase = wait_until(found, "paused")
    step = found.status().step
    if phase != "paused":
        raise UserError(f"{found.name} ended at step {step} before it could be paused.")
    click.echo(f"{found.name} is paused at step {step}. `llmlab resume {shlex.quote(run)}` lets it go on.")
