"""`llmlab delete`: delete a run."""

import sys

import click

from lab.cli.command_registry import FAILED
from lab.cli.commands.rename_command import tell_of_listening
from lab.cli.completion import RUN
from lab.core import number_format
from lab.core.errors import UserError


@click.command(short_help="Delete a run.")
@click.argument("run", type=RUN)
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
def delete(run: str, yes: bool) -> int:
    """Delete RUN with its weights, curves and everything else in its folder. It asks first; this cannot be undone."""
    from lab.inspect.prompt_history import rename_last_prompt
    from lab.runs.find_runs import find_run
    from lab.runs.home_folder import home
    from lab.runs.rename_delete import delete_run, refuse_to_change, size_of

    found = find_run(run)
    refuse_to_change(found)
    if not yes:
        if not sys.stdin.isatty():
            raise UserError(
                f"Deleting {found.name} cannot be undone, and there is no terminal to ask in; use --yes to delete it."
            )
        step, freed = found.status().step, number_format.bytes_(size_of(found))
        if not click.confirm(f"Delete {found.name}, at step {step}? This frees {freed} and cannot be undone."):
            click.echo("Nothing was deleted.")
            return FAILED
    tell_of_listening(found)
    freed = number_format.bytes_(delete_run(found))
    click.echo(f"{found.name} is deleted; {freed} freed.")
    if found.path.parent == home().absolute():
        rename_last_prompt(home(), found.name, "")
    return 0
