"""`llmlab rename`: rename a run."""

import click

from lab.cli.completion import RUN
from lab.runs.run_folder import Run, listening_sentence


@click.command(short_help="Rename a run.")
@click.argument("run", type=RUN)
@click.argument("new")
def rename(run: str, new: str) -> None:
    """Rename RUN to NEW. Its folder is renamed; nothing in it changes."""
    from lab.inspect.prompt_history import rename_last_prompt
    from lab.runs.find_runs import find_run
    from lab.runs.home_folder import home
    from lab.runs.rename_delete import check_new_name, rename_run

    found = find_run(run)
    check_new_name(found, new)
    tell_of_listening(found)
    renamed = rename_run(found, new)
    click.echo(f"{found.name} is now called {renamed.name}; it is in {renamed.path}.")
    if renamed.path.parent == home().absolute():
        rename_last_prompt(home(), found.name, renamed.name)


def tell_of_listening(run: Run) -> None:
    """Say on stderr that renaming or deleting the run takes some seconds, if it does."""
    if words := listening_sentence(run):
        click.echo(words, err=True)
