"""`llmlab resume`: resume a run that is paused, stopped or interrupted."""

import shlex

import click

from lab.cli.command_registry import FAILED, Within, complain
from lab.cli.completion import RUN
from lab.cli.follow_run import follow, following_options, start_and_follow
from lab.core.errors import UserError
from lab.core.limits import LIMITS


@click.command(short_help="Resume a run that is paused, stopped or interrupted.")
@click.argument("run", type=RUN)
@click.option("--gpus", metavar="N|all", help="Go on on so many GPUs of this machine, or on all. [default: as before]")
@click.option("--ranks", type=Within(LIMITS["ranks"], whole=True), metavar="N", help="Go on in so many processes.")
@following_options
def resume(run: str, gpus: str | None, ranks: int | None, detach: bool, quiet: bool) -> int:
    """Resume RUN: continue it if it is paused, else start its trainer again from the last checkpoint.

    The result is the same as without the interruption, to rounding where a busy machine had it compute with fewer threads. On
    another number of GPUs or processes it is to rounding, too, but for dropout, whose masks are other ones. Ctrl-C ends the
    following, not the training.
    """
    from lab.analysis.run_sentence import saved_step
    from lab.core.machine import machine
    from lab.planning.device import gpu_ranks
    from lab.runs.find_runs import open_run
    from lab.training.start_trainer import refuse_to_start

    if gpus is not None and ranks is not None:
        raise click.UsageError("Give --gpus or --ranks, not both.")
    found = open_run(run)
    if gpus is not None and not found.config.train.device.startswith(("auto", "cuda")):
        raise UserError(f"{found.name} was made to train on {found.config.train.device}, not on CUDA's GPUs; leave --gpus out.")
    count = ranks if gpus is None else gpu_ranks(gpus, machine())
    if found.phase() == "paused":
        if count is not None:
            raise UserError(
                f"{found.name} is paused, and its processes wait; `llmlab stop` it, then resume it in another number."
            )
        status = found.status()
        found.send_command("resume")
        if status.stopping:
            complain(
                f"{found.name} was told to stop, and waits for room on its full disk to save step {status.step}. "
                f"`llmlab resume {shlex.quote(run)}` resumes it once it has stopped."
            )
        elif status.no_room:
            click.echo(f"{found.name} continues from step {status.step} as soon as there is room on its full disk.")
        elif detach:
            click.echo(f"{found.name} continues from step {status.step}.")
        ended = 0 if detach else follow(found, status.step, quiet=quiet)
        return ended or (FAILED if status.stopping else 0)  # one that stops, though all is saved, was not resumed
    refuse_to_start(found)
    saved, reached = saved_step(found), found.status().step
    lost = f"; the steps after it, up to {reached}, were not saved" if reached > (saved or 0) else ""
    click.echo(f"{found.name} resumes from step {saved}{lost}." if saved is not None else f"{found.name} begins at step 0{lost}.")
    return start_and_follow(found, after=-1 if saved is None else saved, detach=detach, quiet=quiet, ranks=count)
