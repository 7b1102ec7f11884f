"""`llmlab runs`: the list of runs with their state and losses, as a table or JSON."""

import shlex
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lab.cli.output import table, write_json
from lab.core import number_format
from lab.core.errors import UserError
from lab.runs.run_folder import Run, stand_in_sentence, unresponsive_reason
from lab.runs.run_schema import Status
from lab.runs.schema_parts import describe_ranks

if TYPE_CHECKING:
    from lab.runs.run_summary import RunSummary

PART = "~"
"""Prefix of figures measured on a part of the validation text only."""


def entry(summary: "RunSummary") -> dict[str, Any]:
    """The entry of a run in the JSON: keys are added in later versions, never renamed or removed; None where nothing is known.
    Raises UserError if the run was renamed or deleted just now."""
    run = Run(summary.path)
    config, status = (None, Status(phase="stopped")) if summary.model is None else (run.config, run.status())
    evaluated, total = summary.evaluated, config.data.val_bytes if config else 0
    evaluated_bytes = None
    if evaluated is not None and (evaluated.is_whole or evaluated.unit == "bytes"):
        evaluated_bytes = total if evaluated.is_whole else evaluated.part
    return {
        "name": summary.name,
        "path": str(run.path),
        # One of `run_summary.PHASES`; for a damaged one `message` has the reason.
        "phase": summary.phase,
        "alive": run.is_alive(),
        # True if its weights were trained elsewhere.
        "imported": summary.is_imported,
        "step": summary.step,
        # The step at which it ends; None where it ends after some minutes.
        "steps": summary.steps,
        "seconds": status.seconds,
        "loss": summary.loss,
        # These three are of the best weights, which are opened by default: on the whole validation part once the run has ended,
        # else of the evaluation that chose them.
        "val_loss": summary.val_loss,
        "bits_per_byte": summary.bits_per_byte,
        "val_step": summary.val_step,
        # Bytes of validation text of the two; None also in runs of older versions.
        "evaluated_bytes": evaluated_bytes,
        "validation_bytes": total,
        # The share of the validation text that also stands in the training text; None also in runs of older versions.
        "copied": config.data.copied if config else None,
        # The last weights, and the best, on the whole validation part or a large sample of it; None before the end.
        "final": status.final,
        "final_best": status.final_best,
        "device": summary.device,
        # The machine that trains it, or did last; with several ranks that of rank 0.
        "host": status.host,
        # Host, process and heartbeat (Unix time) of each process, by rank, where several train it.
        "ranks": status.ranks,
        "parameters": summary.parameters,
        "tokenizer": summary.tokenizer,
        "text": summary.text,
        "created": config.created if config else 0.0,
        "message": summary.problem or unresponsive_reason(run, status, summary.phase) or status.message,
    }


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
    found, shipped = list[dict[str, Any]](), list[dict[str, Any]]()
    for summary in filter(matches, RunsWatcher().read()):
        with suppress(UserError):  # renamed or deleted just now
            (shipped if summary.is_bundled else found).append(entry(summary))
    if as_json:
        write_json(found)
        return
    now = time.time()
    rows = [_row(run, number_format.ago(now - run["created"]) if run["created"] else "") for run in found]
    rows += [_row(run, "ships with the lab") for run in shipped]
    header = ("run", "state", "step", "val loss", "bits/byte", "parameters", "text", "made")
    if rows:
        click.echo(table(header, rows, right=(2, 3, 4, 5), optional=(5, 4, 7, 6)))
        if any(row[3] for row in rows):
            click.echo("val loss and bits/byte are of the best weights, which are opened.")
        if any(row[3].startswith(PART) for row in rows):
            click.echo(f"{PART} on a part of the validation text; on all of it when a run has ended.")
    for run in found:
        if run["val_loss"] is not None and (said := stand_in_sentence(Run(Path(run["path"])), "best")):
            click.echo(said)
        if run["alive"] and (where := describe_ranks(run["ranks"])):
            click.echo(f"{run['name']} is trained by {where}.")
        if run["phase"] == "interrupted":
            click.echo(
                f"{run['name']} was interrupted. {run['message']} `llmlab resume {shlex.quote(run['name'])}` resumes from there."
            )
        if run["phase"] == "damaged":
            click.echo(f"{run['name']} is damaged: {run['message']}. `llmlab delete {shlex.quote(run['name'])}` removes it.")
    if terms and not rows:
        click.echo(f"No run matches {' '.join(terms)}; llmlab runs lists them all.")
    elif not terms and not found:
        click.echo(f"No runs of yours yet in {home()}. `llmlab train stories` makes one; `llmlab` opens the lab.")


def _row(run: dict[str, Any], made: str) -> tuple[str, ...]:
    from lab.runs.run_summary import shown_phase

    about = "" if run["evaluated_bytes"] == run["validation_bytes"] else PART
    return (
        run["name"],
        shown_phase(run["phase"], is_imported=run["imported"])[1] if run["phase"] == "finished" else run["phase"],
        "" if run["imported"] else f"{run['step']}/{run['steps']}" if run["steps"] else str(run["step"]),
        "" if run["val_loss"] is None else about + number_format.fixed(run["val_loss"]),
        "" if run["bits_per_byte"] is None else about + number_format.fixed(run["bits_per_byte"]),
        number_format.count(run["parameters"]) if run["parameters"] else "",
        run["text"],
        made,
    )
