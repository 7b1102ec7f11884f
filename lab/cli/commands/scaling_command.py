"""`llmlab scaling`: train four sizes for the same minutes, follow them, and show what loss does with size and compute."""

import shlex
import sys
import time
from typing import TYPE_CHECKING

import click

from lab.cli.command_registry import FAILED, INTERRUPTED, Within, complain
from lab.cli.completion import TEXT
from lab.cli.follow_run import shows_bar
from lab.cli.output import passing_bar, table_of, wrapped, write_json
from lab.core.errors import DamagedFileError, UserError
from lab.core.limits import LIMITS
from lab.training.scaling.scaling_plan import DEFAULT_MINUTES, DEFAULT_NAME, DEFAULT_TEXT

if TYPE_CHECKING:
    from lab.training.scaling.scaling_experiment import ScalingExperiment
    from lab.training.scaling.scaling_result import FittedLaw, ScalingResult

POLL_SECONDS = 0.5


@click.command(short_help="Train four sizes for the same minutes, and fit a line.")
@click.argument("text", required=False, type=TEXT)
@click.option(
    "--minutes",
    type=Within(LIMITS["minutes"], whole=False),
    metavar="N",
    help=f"Minutes of training of each size; evaluations come on top. [default: {DEFAULT_MINUTES:g}]",
)
@click.option("--name", default=DEFAULT_NAME, show_default=True, metavar="NAME", help="Name; its runs are NAME-1 and so on.")
@click.option("--json", "as_json", is_flag=True, help="Print the state so far as JSON, and start nothing.")
@click.option("--detach", is_flag=True, help="Return as soon as it has begun.")
@click.option("--stop", "stops", is_flag=True, help="Stop it; the same command without --stop resumes it.")
@click.option("--delete", "deletes", is_flag=True, help="Stop it, and delete its four runs. It asks first.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@click.option("--quiet", "-q", is_flag=True, help="Plain lines instead of a progress bar, also in a terminal.")
def scaling(
    text: str | None,
    minutes: float | None,
    name: str,
    as_json: bool,
    detach: bool,
    stops: bool,
    deletes: bool,
    yes: bool,
    quiet: bool,
) -> int:
    """Train four sizes of a model on TEXT for the same minutes, one after the other, in the background at low priority.

    Then show which has the lowest loss after the same time and after the same tokens, and fit loss against parameters and
    against compute. TEXT is as for `llmlab train`; without it, 20 MB of the built-in `stories`. An experiment that was stopped or
    killed is resumed by the same command, and one that has finished is shown. Ctrl-C ends the following only.
    """
    from lab.training.scaling.scaling_experiment import ScalingExperiment, start_scaling
    from lab.training.scaling.scaling_plan import ScalingPlan, absolute_source

    if as_json + detach + stops + deletes > 1:
        raise click.UsageError("Give only one of --json, --detach, --stop and --delete.")
    experiment = ScalingExperiment(name)
    if deletes or stops or as_json:
        return _delete(experiment, yes=yes) if deletes else _stop(experiment) if stops else _print_json(experiment)
    if experiment.exists():
        plan, asked = experiment.plan(), None if text is None else absolute_source(ScalingPlan(text=text))
        if asked not in (None, plan.text) or minutes not in (None, plan.minutes):
            raise click.UsageError(
                f"There is an experiment called {name} already, on {plan.text} for {plan.minutes:g} minutes a size; give this "
                "one another --name, or --delete that one"
            )
        if experiment.progress().phase != "finished":
            start_scaling(experiment)
    else:
        start_scaling(experiment, ScalingPlan(text=text or DEFAULT_TEXT, minutes=minutes or DEFAULT_MINUTES))
    if detach:
        click.echo(f"{name} is training. `llmlab scaling{_named(experiment)}` follows it, with --stop stops it.")
        return 0
    return _follow(experiment, quiet=quiet)


def _named(experiment: "ScalingExperiment") -> str:
    return "" if experiment.name == DEFAULT_NAME else f" --name {shlex.quote(experiment.name)}"


def _stop(experiment: "ScalingExperiment") -> int:
    from lab.training.scaling.scaling_experiment import stop_run

    left = [run for run in experiment.runs(experiment.plan()) if run is not None and run.is_alive()]
    if not experiment.is_running() and not left:
        click.echo(f"{experiment.name} is not running.")
        return 0
    experiment.end()
    for run in left:  # its process may have been killed, which ends no trainer
        stop_run(run)
    click.echo(f"{experiment.name} is stopped and saved. `llmlab scaling{_named(experiment)}` resumes it.")
    return 0


def _delete(experiment: "ScalingExperiment", *, yes: bool) -> int:
    what, kept = _to_delete(experiment)
    if not yes:
        if not sys.stdin.isatty():
            raise UserError(f"Deleting {experiment.name} cannot be undone, and there is no terminal to ask in; use --yes.")
        if not click.confirm(f"Delete {what}? This cannot be undone."):
            click.echo("Nothing was deleted.")
            return FAILED
    experiment.delete()
    for sentence in (f"Deleted {what}.", *kept):
        click.echo(sentence)
    return 0


def _to_delete(experiment: "ScalingExperiment") -> tuple[str, list[str]]:
    """The experiment and its runs in words, and a sentence on each run that has a name of its own and stays."""
    name = experiment.name
    try:
        plan = experiment.plan()
    except DamagedFileError:
        return name, [f"Its plan is damaged, so that its runs, {name}-1 and so on, are not known and stay."]
    runs = ", ".join(run.name for run in experiment.runs(plan) if run is not None) or "no runs yet"
    others = [f"{other} stays, since it is not a run of {name}: {reason}." for other, reason in experiment.others(plan).items()]
    return f"{name} and its runs ({runs})", others


def _follow(experiment: "ScalingExperiment", *, quiet: bool) -> int:
    """Show the progress until it ends, then the result. Returns the exit code."""
    from lab.training.scaling.scaling_view import scaling_view, state_line, work_line
    from lab.views.blocks import Paragraph, Table

    plan, said, has_bar = experiment.plan(), "", shows_bar(quiet)
    try:
        with passing_bar(sys.stdout, is_shown=has_bar) as show:
            while True:
                progress = experiment.progress()
                show(state_line(progress, plan), progress.done)
                if not has_bar and (words := work_line(progress, plan)) != said:
                    said = words
                    click.echo(words)
                if progress.phase != "running":
                    break
                time.sleep(POLL_SECONDS)
    except KeyboardInterrupt:
        click.echo(f"\n{experiment.name} goes on. `llmlab scaling{_named(experiment)} --stop` stops it.", err=True)
        return INTERRUPTED
    for block in scaling_view(_result(experiment)).blocks:
        if isinstance(block, Table):
            click.echo(table_of(block))
        elif isinstance(block, Paragraph):
            click.echo("\n" + wrapped(block.text))
    if progress.phase == "finished":
        return 0
    complain(f"{progress.problem or 'It was stopped.'} `llmlab scaling{_named(experiment)}` resumes it.")
    return FAILED if progress.problem else 0


def _result(experiment: "ScalingExperiment") -> "ScalingResult":
    from lab.training.scaling.scaling_result import CurvesReader, scaling_result

    return scaling_result(CurvesReader(experiment).read(), len(experiment.plan().sizes))


def _print_json(experiment: "ScalingExperiment") -> int:
    """The state so far. Keys are added in later versions, never renamed or removed."""
    from lab.training.scaling.scaling_view import sentences

    plan, progress, result = experiment.plan(), experiment.progress(), _result(experiment)
    sizes = [
        {
            "run": each.name,
            "phase": each.phase,
            "parameters": each.parameters,
            "layers": each.model.layers,
            "width": each.model.width,
            "lr": each.lr,
            "tokens": last.tokens if (last := each.last) else 0,
            "epochs": each.epochs,
            # 6 · tokens · weights that are multiplied by, the head's included, and the attention products.
            "flops": last.flops if last else 0.0,
            # Nats per token at the latest evaluation.
            "val_loss": last.loss if last else None,
            "val_loss_same_tokens": same_tokens,
        }
        for each, same_tokens in zip(result.sizes, result.same_tokens, strict=True)
    ]
    write_json(
        {
            "name": experiment.name,
            "phase": progress.phase,
            "text": plan.text,
            "minutes": plan.minutes,
            "problem": progress.problem,
            "floor": result.floor,
            "same_tokens": result.tokens,
            "sizes": sizes,
            # Runs that have a name of the experiment's and are not its own, with the reason why not.
            "other_runs": experiment.others(plan),
            "parameters": _law_as_json(result.parameters),
            "compute": _law_as_json(result.compute),
            "sentences": sentences(result),
        }
    )
    return 0


def _law_as_json(fitted: "FittedLaw") -> dict[str, object]:
    """A fitted law, loss − floor = scale · x^−exponent, and its test on a point that was left out."""
    law, predicted = fitted.law, fitted.predicted
    tested_at, measured = fitted.points[-1] if predicted is not None else (None, None)
    return {
        "points": fitted.points,
        "scale": law.scale if law else None,
        "exponent": law.exponent if law else None,
        # Standard error of the exponent.
        "error": law.error if law else None,
        # Root mean square of ln(loss − floor) around the line.
        "misfit": law.misfit if law else None,
        "tested_at": tested_at,
        "predicted": predicted,
        "measured": measured,
    }
