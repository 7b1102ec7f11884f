"""`llmlab runs`: the list of runs with their state and losses, as a table or JSON."""

import shlex
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from lab.cli.output import table, write_json
from lab.core import number_format
from lab.core.errors import UserError
from lab.runs.run_folder import Run, stand_in_sentence, unresponsive_reason
from lab.runs.run_schema import FinalEvaluation
from lab.runs.schema_parts import CopiedShare, RankHeartbeat, describe_ranks

if TYPE_CHECKING:
    from lab.runs.run_summary import RunSummary

PART = "~"
"""Prefix of figures measured on a part of the validation text only."""


class RunEntry(msgspec.Struct, kw_only=True):
    """One entry of `llmlab runs --json`. Keys are added in later versions, never renamed or removed."""

    name: str
    path: str
    phase: str
    """not started, starting, training, paused, stopped, finished, failed, interrupted (its trainer died), not answering (it is
    alive and sends no heartbeat), or damaged: a file of it cannot be used, and `message` has the reason."""
    alive: bool
    imported: bool = False
    """True if its weights were trained elsewhere."""
    step: int = 0
    steps: int | None = None
    """The step at which it ends; None where it ends after some minutes."""
    seconds: float = 0.0
    loss: float | None = None
    val_loss: float | None = None
    bits_per_byte: float | None = None
    """This and `val_loss` are of the best weights, which are opened by default: on the whole validation part once the run has
    ended, else of the evaluation that chose them."""
    val_step: int | None = None
    """The step of these weights."""
    evaluated_bytes: int | None = None
    """Bytes of validation text of these two; None if unknown, as in runs of older versions."""
    validation_bytes: int = 0
    copied: CopiedShare | None = None
    """The share of the validation text that also stands in the training text; null if unknown, as in runs of older versions."""
    final: FinalEvaluation | None = None
    """The last weights on the whole validation part, or a large sample of it; null before the end."""
    final_best: FinalEvaluation | None = None
    """That of the best weights, which are opened by default."""
    device: str = ""
    host: str = ""
    """The machine that trains it, or did last; with several ranks that of rank 0."""
    ranks: tuple[RankHeartbeat, ...] = ()
    """Host, process and heartbeat (Unix time) of each process, by rank, where several train it."""
    parameters: int = 0
    tokenizer: str = ""
    text: str = ""
    created: float = 0.0
    message: str = ""


def entry(summary: "RunSummary") -> RunEntry:
    """The entry of a run. Raises UserError if it was renamed or deleted just now."""
    run = Run(summary.path)
    if summary.model is None:
        return RunEntry(name=summary.name, path=str(run.path), phase=summary.phase, alive=run.is_alive(), message=summary.problem)
    config, status, evaluated = run.config, run.status(), summary.evaluated
    evaluated_bytes = evaluated.part if evaluated is not None and evaluated.unit == "bytes" else None
    if evaluated is not None and evaluated.is_whole:
        evaluated_bytes = config.data.val_bytes
    return RunEntry(
        name=summary.name,
        path=str(run.path),
        phase=summary.phase,
        alive=run.is_alive(),
        imported=summary.is_imported,
        step=summary.step,
        steps=summary.steps,
        seconds=status.seconds,
        loss=summary.loss,
        val_loss=summary.val_loss,
        bits_per_byte=summary.bits_per_byte,
        val_step=summary.val_step,
        evaluated_bytes=evaluated_bytes,
        validation_bytes=config.data.val_bytes,
        copied=config.data.copied,
        final=status.final,
        final_best=status.final_best,
        device=status.device,
        host=status.host,
        ranks=status.ranks,
        parameters=summary.parameters,
        tokenizer=config.tokenizer.kind,
        text=config.data.name,
        created=config.created,
        message=summary.problem or unresponsive_reason(run, status, summary.phase) or status.message,
    )


@click.command()
@click.argument("terms", nargs=-1, metavar="[FILTER]...")
@click.option(
    "--json", "as_json", is_flag=True, help="Print JSON: a list of objects, newest first, with losses in nats per token."
)
def runs(terms: tuple[str, ...], as_json: bool) -> None:
    """List the runs, newest first, with their state and the validation loss of their best weights, which are opened; then those
    that ship with the lab.

    FILTER: words of the name, text, tokenizer or state, and conditions in quotes, such as `llmlab runs stories 'loss<2.5'`.
    """
    from lab.analysis.run_filter import run_filter
    from lab.runs.home_folder import home
    from lab.runs.run_summary import RunsWatcher

    matches = run_filter(" ".join(terms))
    found, shipped = list[RunEntry](), list[RunEntry]()
    for summary in filter(matches, RunsWatcher().read()):
        with suppress(UserError):  # renamed or deleted just now
            (shipped if summary.is_bundled else found).append(entry(summary))
    if as_json:
        write_json(found)
        return
    now = time.time()
    rows = [_row(run, number_format.ago(now - run.created) if run.created else "") for run in found]
    rows += [_row(run, "ships with the lab") for run in shipped]
    header = ("run", "state", "step", "val loss", "bits/byte", "parameters", "text", "made")
    if rows:
        click.echo(table(header, rows, right=(2, 3, 4, 5), optional=(5, 4, 7, 6)))
        if any(row[3] for row in rows):
            click.echo("val loss and bits/byte are of the best weights, which are opened.")
        if any(row[3].startswith(PART) for row in rows):
            click.echo(f"{PART} on a part of the validation text; on all of it when a run has ended.")
    for run in found:
        if run.val_loss is not None and (said := stand_in_sentence(Run(Path(run.path)), "best")):
            click.echo(said)
        if run.alive and (where := describe_ranks(run.ranks)):
            click.echo(f"{run.name} is trained by {where}.")
        if run.phase == "interrupted":
            click.echo(f"{run.name} was interrupted. {run.message} `llmlab resume {shlex.quote(run.name)}` resumes from there.")
        if run.phase == "damaged":
            click.echo(f"{run.name} is damaged: {run.message}. `llmlab delete {shlex.quote(run.name)}` removes it.")
    if terms and not rows:
        click.echo(f"No run matches {' '.join(terms)}; llmlab runs lists them all.")
    elif not terms and not found:
        click.echo(f"No runs of yours yet in {home()}. `llmlab train stories` makes one; `llmlab` opens the lab.")


def _row(run: RunEntry, made: str) -> tuple[str, ...]:
    from lab.runs.run_summary import shown_phase

    about = "" if run.evaluated_bytes == run.validation_bytes else PART
    return (
        run.name,
        shown_phase(run.phase, is_imported=run.imported)[1] if run.phase == "finished" else run.phase,
        "" if run.imported else f"{run.step}/{run.steps}" if run.steps else str(run.step),
        "" if run.val_loss is None else about + number_format.fixed(run.val_loss),
        "" if run.bits_per_byte is None else about + number_format.fixed(run.bits_per_byte),
        number_format.count(run.parameters) if run.parameters else "",
        run.text,
        made,
    )
