"""`llmlab rename`: give a run another name."""

import click


@click.command(short_help="Give a run another name.")
@click.argument("run")
@click.argument("new")
def rename(run: str, new: str) -> None:
    """Call RUN by the name NEW. Its folder is renamed, and nothing in it changes."""
    from lab.runs.rename_delete import rename_run
    from lab.runs.run_store import find_run

    found = find_run(run)
    renamed = rename_run(found, new)
    click.echo(f"{found.name} is called {renamed.name} now; it is in {renamed.path}.")
