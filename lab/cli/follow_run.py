"""Follow a run from its files while its trainer works: a progress bar in a terminal, a line per evaluation elsewhere."""

import shlex
import sys
import time
from collections.abc import Iterator
from typing import Any

import click

from lab.analysis.run_sentence import against_expectation, stopped_sentence
from lab.cli.command_registry import FAILED, INTERRUPTED, complain
from lab.cli.output import own_sequences, redraws
from lab.core import number_format
from lab.core.errors import UserError
from lab.core.visible_text import visible
from lab.runs.rename_delete import refuse_if_gone
from lab.runs.run_control import trainer_lock_is_held
from lab.runs.run_folder import ACTIVE, Run, unresponsive_reason
from lab.runs.run_history import LossHistory
from lab.runs.run_in_words import at_the_end, during_training
from lab.runs.run_schema import FinalEvaluation, Metric, Status
from lab.runs.run_summary import fraction_done, time_left

POLL_SECONDS = 0.2


class FollowedRun:
    def __init__(self, run: Run, after: int) -> None:
        """Evaluations up to the step `after` are not reported."""
        self.run = run
        self.status = run.status()
        self.history = LossHistory()
        self._reader = run.metrics()
        self._reported_step = after
        self._last_message = ""
        self._has_told_computed = False

    def new_messages(self) -> list[str]:
        """New messages of the trainer since the last call, such as a rollback after bad steps."""
        said = self.status.message if self.status.phase in ACTIVE else self._last_message
        if self.run.phase_of(self.status) == "not answering":
            said = f"The trainer, process {self.status.pid}, does not respond: it may be halted."
        lines = [said] if said and said != self._last_message else []
        self._last_message = said
        if self.status.device.startswith("cuda") and self.status.computed and not self._has_told_computed:
            self._has_told_computed = True
            lines.insert(0, f"Steps run in {self.status.computed}.")
        return lines

    def read(self) -> list[str]:
        """Read the new metrics; return a line for each new evaluation."""
        self.status = self.run.status()
        metrics = self._reader.read()
        if self._reader.restarted:
            self.history = LossHistory()
        lines = []
        for metric in metrics:
            self.history.add([metric])
            if metric.val_loss is not None and metric.step > self._reported_step:
                self._reported_step = metric.step
                lines.append(self._line(metric))
        return lines

    def _line(self, evaluation: Metric) -> str:
        """An evaluation on one line, with the latest training loss and speed; every figure with its name."""
        steps = self.run.config.train.steps
        training = self.history.last_training
        left = time_left(self.run.config, self.status, self.history)
        words = [
            f"step {evaluation.step}/{steps}" if steps else f"step {evaluation.step}",
            f"loss {number_format.fixed(training.loss)}" if training and training.loss is not None else "",
            f"val loss {number_format.fixed(evaluation.val_loss)}" if evaluation.val_loss is not None else "",
            f"{number_format.fixed(evaluation.bits_per_byte)} bits/byte" if evaluation.bits_per_byte is not None else "",
            number_format.speed(self.history.speed) if self.history.speed else "",
            f"{number_format.duration(left)} left" if left else "",
        ]
        return "  ".join(word for word in words if word)

    def updates(self) -> Iterator[tuple[list[str], list[str]]]:
        """Lines of new evaluations and new messages, again and again until the training has ended."""
        ended = False
        while not ended:
            ended = self.run.phase() not in ACTIVE and not trainer_lock_is_held(self.run.lock_path)
            yield self.read(), self.new_messages()
            if not ended:
                time.sleep(POLL_SECONDS)


def shows_bar(quiet: bool) -> bool:
    """True in a terminal that can redraw a line, unless the user wants plain lines."""
    return redraws(sys.stdout) and not quiet


def follow(run: Run, after: int = -1, *, quiet: bool = False) -> int:
    """Show the progress of the training until it ends, then its result. Returns the exit code.

    Ctrl-C ends the following, not the training.
    """
    followed = FollowedRun(run, after)
    try:
        if shows_bar(quiet):
            _follow_with_a_bar(followed)
        else:
            for evaluations, messages in followed.updates():
                for line in (*evaluations, *messages):
                    click.echo(line)
    except KeyboardInterrupt:
        name = shlex.quote(run.name)
        click.echo(f"\n{run.name} is still training. `llmlab stop {name}` stops it, `llmlab` shows it.", err=True)
        return INTERRUPTED
    return report_end(run)


def _follow_with_a_bar(followed: FollowedRun) -> None:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    columns = ("{task.fields[steps]}", "{task.fields[loss]}", "{task.fields[speed]}", "{task.fields[left]}")
    texts = [TextColumn(text, markup=False) for text in columns]
    console = Console(file=own_sequences(sys.stdout))
    steps = followed.run.config.train.steps
    with Progress(texts[0], BarColumn(bar_width=None), *texts[1:], expand=True, console=console) as bar:
        task = bar.add_task(followed.run.name, total=1.0, steps="", loss="", speed="", left="")
        for _, messages in followed.updates():
            for line in messages:
                bar.console.print(visible(line), markup=False, highlight=False)
            training, evaluation = followed.history.last_training, followed.history.last_evaluation
            losses = [("loss", training.loss if training else None), ("val", evaluation.val_loss if evaluation else None)]
            left = time_left(followed.run.config, followed.status, followed.history)
            phase = followed.status.phase
            bar.update(
                task,
                completed=fraction_done(followed.run.config, followed.status),
                steps=f"{followed.status.step}/{steps}" if steps else f"step {followed.status.step}",
                loss="  ".join(f"{name} {number_format.fixed(value)}" for name, value in losses if value is not None),
                speed=number_format.speed(followed.history.speed) if followed.history.speed else "",
                left=phase if phase != "training" else "" if left is None else f"{number_format.duration(left)} left",
            )


def describe_result(run: Run, status: Status) -> str:
    """The validation loss of the last weights, and of the best if they differ, as the end of a sentence."""
    data, last, best = run.config.data, status.final, status.final_best
    if last is not None and best is not None:
        size = f" on {at_the_end(data, last).in_words} ({number_format.whole(last.tokens)} tokens) of validation text"
        expected = against_expectation(run.config, status)
        words = f", {_figures(last)}{size}{f'; {expected}' if expected else ''}"
        others = f"; of the best weights, those of step {best.step}, which are opened, {_figures(best)}"
        return words if best.step == last.step else words + others
    metric = next((metric for metric in reversed(run.metrics(evaluated=True).read()) if metric.val_loss is not None), None)
    on = during_training(data, status)
    words = f", {_figures(metric)}{f' on {on.in_words} of validation text' if on else ''}" if metric is not None else ""
    if status.best_step not in (None, status.step) and status.best_val_loss is not None:
        words += (
            f"; the lowest was {number_format.fixed(status.best_val_loss)} at step {status.best_step}, whose weights are opened"
        )
    return words


def _figures(found: Metric | FinalEvaluation) -> str:
    loss, bits = found.val_loss, found.bits_per_byte
    words = "validation loss NaN" if loss is None else f"validation loss {number_format.fixed(loss)}"
    return words if bits is None else f"{words}, {number_format.fixed(bits)} bits/byte"


def report_end(run: Run) -> int:
    """Report the end of the training in one sentence; on stderr and with exit code 1 if it failed."""
    phase, status = run.phase(), run.status()
    name = shlex.quote(run.name)
    try:
        refuse_if_gone(run, in_training=True)
    except UserError as error:
        complain(str(error))
        return FAILED
    if phase == "finished":
        words = (
            f"{run.name} finished: {status.step} steps in {number_format.duration(status.seconds)}{describe_result(run, status)}"
        )
        words += f". {status.message.removesuffix('.')}" if status.message else ""
        click.echo(f"{words}.\n`llmlab generate {name}` generates text with it; `llmlab` opens it.")
        return 0
    if phase == "stopped":
        words, is_saved = stopped_sentence(run, f"llmlab resume {name}")
        click.echo(words if is_saved else f"llmlab: {words}", err=not is_saved)
        return 0 if is_saved else FAILED
    if phase == "failed":
        click.echo(f"llmlab: {run.name} failed at step {status.step}: {status.message}", err=True)
    else:
        why = unresponsive_reason(run, status, phase)
        click.echo(f"llmlab: {run.name} was interrupted. {why} `llmlab resume {name}` resumes from there.", err=True)
    return FAILED


def following_options(command: Any) -> Any:
    quiet = click.option("--quiet", "-q", is_flag=True, help="Plain lines instead of a progress bar, also in a terminal.")
    return click.option("--detach", is_flag=True, help="Return as soon as training has begun.")(quiet(command))


def start_and_follow(run: Run, after: int, *, detach: bool, quiet: bool, ranks: int | None = None) -> int:
    """Start the run's trainer, in so many processes if not in as many as it was made for, and follow it unless detached."""
    from lab.training.start_trainer import start_trainer

    start_trainer(run, ranks)
    if detach:
        name = shlex.quote(run.name)
        click.echo(f"{run.name} is training. `llmlab` shows it, `llmlab stop {name}` stops it.")
        return 0
    click.echo(f"It trains in {run.path}; Ctrl-C stops following, not training.")
    return follow(run, after, quiet=quiet)
