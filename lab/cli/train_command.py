"""`llmlab train` and `resume`: make a run, start its trainer, and follow it until it ends or the user looks away."""

import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from lab.cli.follow_run import follow, shows_bar
from lab.cli.number_types import real, whole
from lab.cli.visible_output import own_sequences
from lab.core.number_format import bytes_, count
from lab.core.number_format import whole as in_full
from lab.core.visible_text import visible
from lab.planning.default_length import default_steps_in_words
from lab.runs.run_folder import Run
from models.config import DEFAULT_PRESET, PRESETS
from models.parameter_count import parameter_count

if TYPE_CHECKING:
    from lab.planning.prepare_run import PrepareProgress


def following_options(command: Any) -> Any:
    quiet = click.option("--quiet", "-q", is_flag=True, help="Plain lines instead of a progress bar, also in a terminal.")
    return click.option("--detach", is_flag=True, help="Return as soon as training has begun.")(quiet(command))


@click.command(short_help="Train a GPT-2 on a text.")
@click.argument("text")
@click.option("--name", metavar="RUN", help="What to call the run. [default: after the text]")
@click.option("--preset", type=click.Choice(list(PRESETS)), default=DEFAULT_PRESET, show_default=True, help="Shape of the model.")
@click.option("--steps", type=whole("steps"), metavar="N", help="Train for so many steps.")
@click.option("--minutes", type=real("minutes"), metavar="M", help="Train for so many minutes instead.")
@click.option(
    "--tokenizer",
    type=click.Choice(["bpe", "bytes", "gpt2"]),
    default="bpe",
    show_default=True,
    help="Learned from the text, single bytes, or GPT-2's.",
)
@click.option("--vocab", type=whole("vocab_size"), metavar="N", help="Vocabulary that bpe learns.")
@click.option("--encoding", metavar="NAME", help="Encoding of the text; found by itself for UTF-8 and UTF-16.")
@click.option("--layers", type=whole("layers"), metavar="N", help="Change the preset's number of layers.")
@click.option("--heads", type=whole("heads"), metavar="N", help="Change its heads in each layer; they divide the width.")
@click.option("--width", type=whole("width"), metavar="N", help="Change its width, the numbers that stand for a token.")
@click.option("--context", type=whole("context"), metavar="N", help="Change its context, the tokens it sees at once.")
@click.option(
    "--dropout",
    type=real("dropout"),
    metavar="P",
    help="Share of numbers dropped while training. [default: 0.1 where the text would be learned by heart, else 0]",
)
@click.option("--batch", type=whole("batch"), metavar="N", help="Windows of text in one step.")
@click.option("--accumulate", type=whole("accumulate"), metavar="K", help="Compute a step's windows in K parts, for less memory.")
@click.option(
    "--optimizer",
    type=click.Choice(["muon", "adamw"]),
    help="Muon for the matrices inside the layers, or AdamW for all. [default: muon]",
)
@click.option("--lr", type=real("lr"), metavar="R", help="Peak learning rate.")
@click.option(
    "--schedule",
    type=click.Choice(["cosine", "wsd"]),
    help="How the rate falls: along a cosine, or not at all until the last fifth.  [default: cosine]",
)
@click.option("--seed", type=whole("seed"), metavar="N", help="The same seed and steps train the same model on the same machine.")
@click.option("--device", metavar="auto|cpu|cuda|mps", help="Where to train. [default: auto]")
@click.option(
    "--threads", type=whole("threads"), metavar="N", help="Processor cores to use. [default: all of two, else all but one]"
)
@click.option("--precision", type=click.Choice(["auto", "fp32", "bf16"]), help="Of the products. [default: what is quicker here]")
@click.option(
    "--attention", type=click.Choice(["auto", "plain", "fused"]), help="How it is computed. [default: what is quicker here]"
)
@click.option("--eval-every", type=whole("eval_every"), metavar="N", help="Steps between evaluations.")
@click.option(
    "--patience",
    type=whole("patience"),
    metavar="K",
    help="End after K evaluations in a row that were no better. [default: never]",
)
@click.option(
    "--prompt", "prompts", multiple=True, metavar="TEXT", help="What the model writes on from at evaluations; may be repeated."
)
@following_options
def train(text: str, steps: int | None, minutes: float | None, detach: bool, quiet: bool, **options: Any) -> int:
    """Train a GPT-2 on TEXT: the path of a text file, - for standard input, or a built-in text, `stories` or `python`.

    Training runs in a process of its own. This command follows it and returns when it ends; Ctrl-C, or closing the terminal, ends
    the following only. `llmlab stop RUN` stops the training, `llmlab` shows it live.

    The exit code is 0 when training finished or was stopped, 1 when it failed, 2 when it could not be begun.
    """
    if steps is not None and minutes is not None:
        raise click.UsageError("Give --steps or --minutes, not both.", click.get_current_context())
    from lab.planning.prepare_run import RunRequest, prepare_run

    request = RunRequest(text=text, steps=steps, minutes=minutes, steps_by_machine=True, **options)
    with preparation_shown(bar=shows_bar(quiet)) as progress:
        run = prepare_run(request, progress, lambda: click.echo(waiting_for_writer(text), err=True))
    click.echo(description(run))
    if steps is None and minutes is None:
        click.echo(f"{default_steps_in_words(run.config.train.steps or 0)}; --steps and --minutes choose another length.")
    return begin(run, after=-1, detach=detach, quiet=quiet)


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
    return begin(found, after=last[0] if last else -1, detach=detach, quiet=quiet)


def waiting_for_writer(source: str) -> str:
    return f"llmlab: {visible(source)} is a named pipe; waiting for a program to write to it. Ctrl-C ends this."


@contextmanager
def preparation_shown(*, bar: bool) -> Iterator[Callable[["PrepareProgress"], None]]:
    """Gives a function that shows how far the preparation is: as a bar that goes away when it is done, or not at all."""
    if not bar:
        yield lambda progress: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn
    from rich.progress import Progress as Bar

    columns = TextColumn("{task.description}", markup=False), BarColumn(bar_width=None)
    with Bar(*columns, expand=True, transient=True, console=Console(file=own_sequences(sys.stdout))) as shown:
        task = shown.add_task("", total=1.0)
        yield lambda progress: shown.update(task, description=visible(progress.words), completed=progress.fraction)


def description(run: Run) -> str:
    """The text and the model of a run, in two lines."""
    config = run.config
    data, model = config.data, config.model
    return (
        f"{data.name}: {bytes_(data.bytes)}, {in_full(data.tokens)} tokens of a vocabulary of {in_full(model.vocab_size)}, "
        f"the last {in_full(data.tokens - data.split)} for validation{evaluations_in_words(run)}\n"
        f"{run.name}: {model.layers} layers, {model.heads} heads, width {model.width}, context {model.context}, "
        f"{count(parameter_count(model))} parameters"
    )


def evaluations_in_words(run: Run) -> str:
    """What evaluations are made on: `evaluated on 32,841 of their 111,540 bytes, at the end on all`."""
    data = run.config.data
    if data.evaluated is None or data.final is None:
        return ""
    if data.evaluated.bytes == data.val_bytes:
        return f", {in_full(data.val_bytes)} bytes, on which it is evaluated"
    final = "all" if data.final.bytes == data.val_bytes else in_full(data.final.bytes)
    return f": evaluated on {in_full(data.evaluated.bytes)} of their {in_full(data.val_bytes)} bytes, at the end on {final}"


def begin(run: Run, after: int, *, detach: bool, quiet: bool) -> int:
    """Starts the run's trainer and follows it, unless asked to return."""
    from lab.training.start_trainer import start_trainer

    start_trainer(run)
    if detach:
        name = shlex.quote(run.name)
        click.echo(f"{run.name} is training. `llmlab` shows it, `llmlab stop {name}` stops it.")
        return 0
    click.echo(f"It trains in {run.path}; Ctrl-C leaves it to itself.")
    return follow(run, after, quiet=quiet)
