"""`llmlab trace`: every intermediate of one forward pass, by name."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from lab.cli.command_registry import Within
from lab.cli.completion import RUN
from lab.cli.model_options import checkpoint_option, load_prompt
from lab.cli.output import table, write_json
from lab.core.atomic_io import check_export
from lab.core.limits import LIMITS
from lab.core.number_format import probability
from lab.inspect.trace_export import TraceSummary, summarize, write_npz
from lab.views.blocks import Prediction

if TYPE_CHECKING:
    from models.trace import Trace


@click.command(short_help="Trace the forward pass of a prompt.")
@click.argument("run", type=RUN)
@click.option("-p", "--prompt", required=True, metavar="TEXT", help="The prompt.")
@click.option(
    "--npz",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write every intermediate into a NumPy archive, each array under its name.",
)
@click.option("--force", is_flag=True, help="Let --npz replace a file that exists.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON: tokens, top next tokens, the logit lens of each layer.")
@click.option("--top", default=5, show_default=True, type=Within(LIMITS["vocab_size"]), metavar="N", help="Next tokens to list.")
@click.option("--plain", is_flag=True, help="Print lines to be read aloud: every number with its name, no columns, no drawings.")
@click.option("--stage", multiple=True, metavar="NAME", help="With --plain: a page of Inspect, such as scores; may be repeated.")
@click.option("--layer", default=1, type=Within(LIMITS["layers"]), metavar="N", help="Layer of --stage.")
@click.option("--head", default=1, type=Within(LIMITS["heads"]), metavar="N", help="Head of --stage.")
@checkpoint_option
def trace(
    run: str,
    prompt: str,
    npz: Path | None,
    force: bool,
    as_json: bool,
    top: int,
    plain: bool,
    stage: tuple[str, ...],
    layer: int,
    head: int,
    checkpoint: str | None,
) -> None:
    """Trace the forward pass of a prompt through the model of RUN: tokens, predictions, logit lens, intermediates.

    The names of the intermediates are TransformerLens's, such as blocks.0.attn.pattern; layers and heads count from 0 in them.
    """
    if npz is not None:
        check_export(npz, replace=force)
    if plain and (npz is not None or as_json):
        raise click.UsageError("Give --plain alone, or --npz or --json.")
    opened, _, ids = load_prompt(run, prompt, checkpoint)
    if plain:
        from lab.inspect.stages.stage_registry import prompt_view
        from lab.views.written_view import in_words

        views = [prompt_view(opened, ids, name, layer, head) for name in stage or ("tokens", "lens", "logits")]
        click.echo(f"{opened.run.name}, {opened.checkpoint} weights, step {opened.step}.")
        for shown in views:
            click.echo("\n" + "\n".join(in_words(shown)))
        return
    window = ids[-opened.model.config.context :]
    from models.trace import Trace

    traced = Trace(opened.model, window)
    if npz is not None:
        write_npz(npz, traced, replace=force)
    found = summarize(opened, traced, dropped=len(ids) - len(window), top=top)
    if as_json:
        write_json(found)
        return
    click.echo(describe(found, traced))
    if npz is not None:
        click.echo(f"\n{len(traced.names())} intermediates are in {npz}.")


def describe(found: TraceSummary, traced: "Trace") -> str:
    """The summary as text; layers count from 1 here."""
    last = f'"{found.tokens[-1].label}"'

    def listed(candidates: list[Prediction]) -> str:
        return "  ".join(f"{candidate.label} {probability(candidate.probability)}" for candidate in candidates[:5])

    tokens = [
        (str(position), str(token.id), token.label, "" if token.probability is None else probability(token.probability))
        for position, token in enumerate(found.tokens, 1)
    ]
    lens = [("embedding" if layer == 0 else f"layer {layer}", listed(row.top)) for layer, row in enumerate(found.logit_lens)]
    top = [(candidate.label, str(candidate.id), probability(candidate.probability)) for candidate in found.top]
    # Every layer has the same intermediates: those of the first stand for all.
    names = [name for name in traced.names() if not name.startswith("blocks.") or name.startswith("blocks.0.")]
    shapes = [(name.replace("blocks.0.", "blocks.N."), " × ".join(str(size) for size in traced[name].shape)) for name in names]
    return "\n".join(
        [
            f"{found.run}, {found.checkpoint} weights, step {found.step}",
            "",
            table(("position", "id", "token", "probability"), tokens, right=(0, 1, 3)),
            "",
            f"Intermediates, N from 0 to {traced.config.layers - 1}:",
            table(("name", "shape"), shapes),
            "",
            f"Logit lens after {last}:",
            table(("after", "top next tokens"), lens),
            "",
            f"Prediction after {last}:",
            table(("token", "id", "probability"), top, right=(1, 2)),
        ]
    )
