"""`llmlab resume`: resume a run that is paused, stopped or interrupted."""

import click

from lab.cli.follow_run import follow, following_options, start_and_follow


@click.command(short_help="Resume a run that is paused, stopped or interrupted.")
@click.argument("run")
@following_options
def resume(run: str, detach: bool, quiet: bool) -> int:
    """Resume RUN: continue it if it is paused, else start its trainer again from the last checkpoint.

    The result is the same as without the interruption. Ctrl-C ends the following, not the training.
    """
    from lab.runs.find_runs import open_run

    found = open_run(run)
    if found.phase() == "paused":
        found.send_command("resume")
        if detach:
            click.echo(f"{found.name} continues from step {found.status().step}.")
            return 0
        return follow(found, found.status().step, quiet=quiet)
    last = [file.step for file in found.checkpoints() if file.name == "last"]
    return start_and_follow(found, after=last[0] if last else -1, detach=detach, quiet=quiet)
