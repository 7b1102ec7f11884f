"""`llmlab report`: a run as one HTML file."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from lab.cli.completion import RUN
from lab.cli.model_options import checkpoint_option, open_weights
from lab.core.number_format import bytes_

if TYPE_CHECKING:
    from lab.inspect.trace_export import PromptReport
    from lab.runs.run_folder import Run


@click.command(short_help="Write a report of a run as one HTML file.")
@click.argument("run", type=RUN)
@click.option("-p", "--prompt", metavar="TEXT", help="Add the prompt's attention patterns, logit lens and next tokens.")
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="File to write. [default: RUN-report.html, numbered if that exists]",
)
@click.option("--force", is_flag=True, help="Let --output replace a file that exists.")
@checkpoint_option
def report(run: str, prompt: str | None, output: Path | None, force: bool, checkpoint: str | None) -> None:
    """Write a report of RUN: its curves, samples over time, text and settings, and what the model makes of a prompt.

    The file needs no network and no other file.
    """
    from lab.core.atomic_io import check_export
    from lab.core.visible_text import without_hidden
    from lab.exchange.export_files import write_new_text, write_text
    from lab.exchange.html_report import html_report
    from lab.runs.find_runs import open_run

    if prompt == "":
        raise click.UsageError("The prompt is empty: give it at least one character.")
    if checkpoint is not None and prompt is None:
        raise click.UsageError("--checkpoint chooses the weights for a prompt: add --prompt TEXT.")
    found = open_run(run)
    if output is not None:
        check_export(output, replace=force)
    traced = None if prompt is None else _prompt_report(found, prompt, checkpoint)
    html = html_report(found, traced)
    if output is None:
        path, size = write_new_text(Path(f"{without_hidden(found.name) or 'run'}-report.html"), html)
    else:
        path, size = output, write_text(output, html, replace=force)
    click.echo(f"Wrote {path} ({bytes_(size)}).")


def _prompt_report(run: "Run", prompt: str, checkpoint: str | None) -> "PromptReport":
    from lab.core.machine import refuse_without_room_for_torch

    refuse_without_room_for_torch()
    import torch

    from lab.inspect.model_cache import TraceCache
    from lab.inspect.trace_export import prompt_report

    opened = open_weights(run, checkpoint)
    ids = opened.tokenizer.encode(prompt)
    window = ids[-opened.model.config.context :]
    with torch.no_grad():
        return prompt_report(opened, TraceCache().trace(opened, window), dropped=len(ids) - len(window))
