"""`llmlab config`: the settings of the user's own file."""

import click

from lab.cli import own_settings
from lab.cli.command_registry import MISTAKE, complain
from lab.cli.output import table
from lab.core.number_format import counted
from lab.runs.home_folder import home


@click.command(short_help="Show your settings and keys.")
@click.option("--show", is_flag=True, help="Print every setting and every key by its id, with what it is now.")
def config(show: bool) -> int:
    """Check config.toml in the folder of your runs, or print all that it can set.

    It is yours to write: theme = "nord", language = "de", unicode = false for ASCII marks, and under [keys] an action's id with
    its key, such as "app.quit" = "ctrl+x". The environment variables LLMLAB_LANG and LLMLAB_UNICODE win over it.
    """
    rows, problems = own_settings()
    found = counted(len(problems), "problem") if problems else "no problem"
    click.echo(table(("setting", "now", ""), rows) if show else f"{home() / 'config.toml'}: {found}.")
    for problem in problems:
        complain(problem)
    return MISTAKE if problems else 0
