"""`llmlab trace`: every intermediate of one forward pass, by name."""

import os
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from lab.commands.output import table, write_json
from lab.commands.prompt import Prompted, checkpoint_option, prompted
from lab.numbers import probability

if TYPE_CHECKING:
    import torch

    from models.trace import Trace


class Candidate(msgspec.Struct):
    id: int
    label: str
    probability: float


class Lens(msgspec.Struct):
    """What the model would say if it stopped at this residual stream."""

    name: str
    top: list[Candidate]


class TracedToken(msgspec.Struct):
    id: int
    bytes: str
    """In hexadecimal."""
    label: str
    probability: float | None
    """What the model gave this token before it was there; null for the first."""


class TraceSummary(msgspec.Struct, kw_only=True):
    """`llmlab trace --json`. Keys are added in later versions, never renamed or removed."""

    run: str
    checkpoint: str
    step: int
    dropped: int
    """Tokens of the prompt before the window, because the prompt is longer than the context."""
    tokens: list[TracedToken]
    top: list[Candidate]
    """Next tokens after the last one, likeliest first, with probabilities over the whole vocabulary."""
    logit_lens: list[Lens]
    """For the last token: after the embedding, and after each layer."""


@click.command(short_help="Show what happens to a prompt inside a model.")
@click.argument("run")
@click.option("-p", "--prompt", required=True, metavar="TEXT", help="The text to pass through the model.")
@click.option(
    "--npz",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write every intermediate into a NumPy archive, each array under its name.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON: tokens, top next tokens, the logit lens of each layer.")
@click.option("--top", default=5, show_default=True, type=click.IntRange(min=1), metavar="N", help="Next tokens to list.")
@checkpoint_option
def trace(run: str, prompt: str, npz: Path | None, as_json: bool, top: int, checkpoint: str | None) -> None:
    """Pass a prompt through the model of RUN and show what happens on the way.

    The names of the intermediates are TransformerLens's, such as blocks.0.attn.pattern; layers and heads count from 0 in them.
    """
    if npz is not None and not npz.absolute().parent.is_dir():
        raise click.UsageError(
            f"There is no folder {npz.absolute().parent} to write {npz.name} into.", click.get_current_context()
        )
    asked = prompted(run, prompt, checkpoint)
    from models.trace import Trace

    traced = Trace(asked.model, asked.window)
    if npz is not None:
        write_npz(npz, traced)
    found = summary(asked, traced, top)
    if as_json:
        write_json(found)
        return
    click.echo(describe(found, asked, traced))
    if npz is not None:
        click.echo(f"\n{len(traced.names())} intermediates are in {npz}.")


def write_npz(path: Path, traced: "Trace") -> None:
    """What numpy.savez would write, one array in memory at a time, and in place of the file only when it is whole."""
    import numpy as np

    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with zipfile.ZipFile(temporary, "w") as archive:
            for name in traced.names():
                with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                    np.lib.format.write_array(file, traced[name].numpy(force=True), allow_pickle=False)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def summary(asked: Prompted, traced: "Trace", top: int) -> TraceSummary:
    """The trace in few numbers; `top` candidates are listed for each prediction."""
    import torch

    def candidates(logits: "torch.Tensor") -> list[Candidate]:
        probabilities = torch.softmax(logits.double(), dim=-1)  # (V,)
        values, ids = probabilities.topk(min(top, probabilities.numel()))
        return [Candidate(id_, asked.tokenizer.label(id_), p) for p, id_ in zip(values.tolist(), ids.tolist(), strict=True)]

    ids = asked.window
    logits = traced["logits"]  # (T, V)
    chosen = logits[:-1].gather(1, torch.tensor(ids[1:], dtype=torch.int64)[:, None])[:, 0]  # (T - 1,)
    before = (chosen - logits[:-1].logsumexp(-1)).exp().tolist()
    return TraceSummary(
        run=asked.run.name,
        checkpoint=asked.checkpoint,
        step=asked.step,
        dropped=len(asked.ids) - len(ids),
        tokens=[
            TracedToken(id_, asked.tokenizer.token_bytes(id_).hex(), asked.tokenizer.label(id_), p)
            for id_, p in zip(ids, [None, *before], strict=True)
        ],
        top=candidates(logits[-1]),
        logit_lens=[
            Lens(name, candidates(traced.lens(name, [len(ids) - 1])[0])) for name in residual_streams(asked.model.config.layers)
        ],
    )


def residual_streams(layers: int) -> Iterator[str]:
    """The stream before the first layer, and after each."""
    yield "blocks.0.resid_pre"
    for layer in range(layers):
        yield f"blocks.{layer}.resid_post"


def describe(found: TraceSummary, asked: Prompted, traced: "Trace") -> str:
    """The summary as text for a reader; layers count from 1 here."""
    last = f'"{found.tokens[-1].label}"'

    def listed(candidates: list[Candidate]) -> str:
        return "  ".join(f"{candidate.label} {probability(candidate.probability)}" for candidate in candidates[:5])

    tokens = [
        (str(position), str(token.id), token.label, "" if token.probability is None else probability(token.probability))
        for position, token in enumerate(found.tokens, 1)
    ]
    lens = [("embedding" if layer == 0 else f"layer {layer}", listed(row.top)) for layer, row in enumerate(found.logit_lens)]
    top = [(candidate.label, str(candidate.id), probability(candidate.probability)) for candidate in found.top]
    shapes = [(name, " × ".join(str(size) for size in traced[name].shape)) for name in traced.names()]
    return "\n".join(
        [
            f"{found.run}, {found.checkpoint} weights, step {found.step}",
            "",
            table(("position", "id", "token", "the model gave it"), tokens, right=(0, 1, 3)),
            "",
            f"If the model stopped there, it would say after {last}:",
            table(("after", "top next tokens"), lens),
            "",
            f"After {last} it expects:",
            table(("token", "id", "probability"), top, right=(1, 2)),
            "",
            table(("intermediate", "shape"), shapes),
        ]
    )
