"""The trace of one forward pass as a file: an archive of every array, or a summary of tokens, next tokens and logit lens."""

import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from lab.core.atomic_io import export_file
from lab.views.blocks import Prediction
from models.check import check

if TYPE_CHECKING:
    import torch

    from models.tokenizers.tokenizer import Tokenizer
    from models.trace import Trace


def write_npz(path: Path, traced: "Trace", *, replace: bool = False) -> None:
    """Write an npz archive like numpy.savez, one array in memory at a time. Raises: UserError: as `export_file`."""
    import numpy as np

    with export_file(path, replace=replace) as whole, zipfile.ZipFile(whole, "w") as archive:
        for name in traced.names():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                np.lib.format.write_array(file, traced[name].numpy(force=True), allow_pickle=False)
            check()


class LensRow(msgspec.Struct):
    """The logit lens of one residual stream."""

    name: str
    top: list[Prediction]


class TracedToken(msgspec.Struct):
    id: int
    bytes: str
    """In hexadecimal."""
    label: str
    probability: float | None
    """The token's probability given those before it; null for the first."""


class TraceSummary(msgspec.Struct, kw_only=True):
    """`llmlab trace --json`. Keys are added in later versions, never renamed or removed."""

    run: str
    checkpoint: str
    step: int
    dropped: int
    """Tokens of the prompt before the window, because the prompt is longer than the context."""
    tokens: list[TracedToken]
    top: list[Prediction]
    """Next tokens after the last one, the most probable first, with probabilities over the whole vocabulary."""
    logit_lens: list[LensRow]
    """For the last token: after the embedding, and after each layer."""


def summarize(
    traced: "Trace", tokenizer: "Tokenizer", *, run: str, checkpoint: str, step: int, dropped: int, top: int
) -> TraceSummary:
    """Summarize a trace, with the `top` candidates of each prediction."""
    import torch

    def candidates(logits: "torch.Tensor") -> list[Prediction]:
        probabilities = torch.softmax(logits.double(), dim=-1)  # (V,)
        values, ids = probabilities.topk(min(top, probabilities.numel()))
        return [Prediction(id_, tokenizer.label(id_), p) for p, id_ in zip(values.tolist(), ids.tolist(), strict=True)]

    ids = traced.ids
    logits = traced["logits"]  # (T, V)
    chosen = logits[:-1].gather(1, torch.tensor(ids[1:], dtype=torch.int64)[:, None])[:, 0]  # (T - 1,)
    before = (chosen - logits[:-1].logsumexp(-1)).exp().tolist()
    streams = ["blocks.0.resid_pre", *(f"blocks.{layer}.resid_post" for layer in range(traced.config.layers))]
    return TraceSummary(
        run=run,
        checkpoint=checkpoint,
        step=step,
        dropped=dropped,
        tokens=[
            TracedToken(id_, tokenizer.token_bytes(id_).hex(), tokenizer.label(id_), p)
            for id_, p in zip(ids, [None, *before], strict=True)
        ],
        top=candidates(logits[-1]),
        logit_lens=[LensRow(name, candidates(traced.lens(name, [len(ids) - 1])[0])) for name in streams],
    )
