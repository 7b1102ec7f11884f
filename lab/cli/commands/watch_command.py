"""`llmlab watch`: the lab on the runs of another machine, read-only."""

import os
import re
import shutil
import tempfile
from pathlib import Path

import click

from lab.cli import open_lab_on, problem_of_terminal
from lab.cli.completion import RUN
from lab.core.errors import UserError
from lab.core.visible_text import quoted

MACHINE = re.compile(r"\w[\w@.%+-]{,200}")
"""A machine as ssh names it, with a user or not; here it names a folder, and is no option of ssh."""


@click.command(short_help="Watch the runs of another machine over ssh.")
@click.argument("machine", metavar="[USER@]BOX[:HOME]")
@click.argument("run", required=False, default="", type=RUN)
def watch(machine: str, run: str) -> int:
    """Open the lab on the runs of BOX, read-only: curves, samples and verdicts, live. With RUN, at that run.

    BOX is what you give to ssh, which must not ask for a password; no lab is needed there. HOME is the folder of its runs, else
    where the lab usually keeps them. Small files are copied into a temporary folder here, weights are not. Where the connection
    is lost, the lab says so and connects again.
    """
    from lab.core.unfinished_folder import is_abandoned, owner
    from lab.runs.home_folder import MIRROR
    from lab.runs.run_mirror import RunMirror

    machine, _, home = machine.partition(":")
    if not MACHINE.fullmatch(machine):
        raise UserError(f"{quoted(machine)} is not a machine; name it as you do to ssh: llmlab watch me@box.")
    if problem := problem_of_terminal():
        raise UserError(problem[0].upper() + problem[1:])
    for earlier in Path(tempfile.gettempdir()).glob("llmlab-watch-*-*"):  # of those that were killed
        if is_abandoned(earlier, earlier.name.split("-", 3)[3]):
            shutil.rmtree(earlier, ignore_errors=True)
    with tempfile.TemporaryDirectory(f"-{owner()}", "llmlab-watch-", ignore_cleanup_errors=True) as folder:
        mirror = RunMirror(machine, home, Path(folder, machine), in_view=run)
        os.environ[MIRROR] = os.path.join(folder, machine)
        click.echo(f"Connecting to {machine} …", err=True)
        try:
            mirror.update()
            if run and f"{run}/config.json" not in mirror.listed:
                raise UserError(f"There is no run called {quoted(run)} on {machine}.")
            return open_lab_on(mirror)
        finally:
            mirror.end()
            del os.environ[MIRROR]
