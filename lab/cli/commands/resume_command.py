"""`llmlab resume`: go on with a run that is paused, stopped or interrupted."""

import click

from lab.cli.follow_run import follow, following_options, start_and_follow


@click.command(short_help="Go on with a run that is paused, stopped or interrupted.")
@click.argument("run")
@following_options
def resume(run: str, detach: bool, quiet: bool) -> int:
    """Go on with RUN: let it go on if it is paused, or start its training again from its last checkpoint.

    Training goes on exactly as if it had never been interrupted. Ctrl-C ends the following, not the training.
    """
    from lab.runs.run_store import open_run

    found = open_run(run)
    if found.phase() == "paused":
        found.send_command("resume")
        if detach:
            click.echo(f"{found.name} goes on from step {found.status().step}.")
            return 0
        return follow(found, found.status().step, quiet=quiet)
    last = [file.step for file in found.checkpoints() if file.name == "last"]
    return start_and_follow(found, after=last[0] if last else -1, detach=detach, quiet=quiet)
