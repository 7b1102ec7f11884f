"""A trace as data to keep: an archive of every array, a summary for `llmlab trace`, and a prompt's part of a run's report."""

import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from lab.core.atomic_io import export_file
from lab.inspect.model_cache import CachedTrace, OpenModel
from lab.views.blocks import Array, Prediction, Token
from models.check import check
from models.unembed import unembed

if TYPE_CHECKING:
    from torch import Tensor

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


def summarize(opened: OpenModel, traced: "Trace", *, dropped: int, top: int) -> TraceSummary:
    """Summarize a trace, with the `top` candidates of each prediction."""
    import torch

    tokenizer = opened.tokenizer

    def candidates(logits: "Tensor") -> list[Prediction]:
        probabilities = torch.softmax(logits.double(), dim=-1)  # (V,)
        values, ids = probabilities.topk(min(top, probabilities.numel()))
        return [Prediction(id_, tokenizer.label(id_), p) for p, id_ in zip(values.tolist(), ids.tolist(), strict=True)]

    ids = traced.ids
    logits = traced["logits"]  # (T, V)
    chosen = logits[:-1].gather(1, torch.tensor(ids[1:], dtype=torch.int64)[:, None])[:, 0]  # (T - 1,)
    before = (chosen - logits[:-1].logsumexp(-1)).exp().tolist()
    streams = ["blocks.0.resid_pre", *(f"blocks.{layer}.resid_post" for layer in range(traced.config.layers))]
    return TraceSummary(
        run=opened.run.name,
        checkpoint=opened.checkpoint,
        step=opened.step,
        dropped=dropped,
        tokens=[
            TracedToken(id_, tokenizer.token_bytes(id_).hex(), tokenizer.label(id_), p)
            for id_, p in zip(ids, [None, *before], strict=True)
        ],
        top=candidates(logits[-1]),
        logit_lens=[LensRow(name, candidates(traced.lens(name, [len(ids) - 1])[0])) for name in streams],
    )


MOST_WEIGHTS = 300_000
"""Attention weights of all heads in one report: 64 tokens of GPT-2's 144 heads, about 600 kB of HTML."""

MOST_LENS_CELLS = 2_000
"""Cells of the logit-lens grid: 64 tokens of GPT-2 with one row for each layer."""

NEXT_TOKENS = 10
LENS_TOKENS = 3
POSITIONS_AT_ONCE = 32
"""Positions that are unembedded at one time: 32 x 50,257 logits are 6 MB."""


class LensGridRow(msgspec.Struct):
    """The logit lens of one residual stream at every reported position: the most probable tokens, the first one first."""

    name: str
    """The residual stream, such as `blocks.0.resid_post`."""
    cells: list[list[Prediction]]


class PromptReport(msgspec.Struct, kw_only=True):
    """Everything that a report shows of a prompt. Lists by position begin with the token at index `first`."""

    run: str
    checkpoint: str
    step: int
    interventions: str
    """In words, such as `head 2.1 off`; "" where there are none."""
    dropped: int
    """Tokens of the prompt before the window, because the prompt is longer than the context."""
    first: int
    """Index in the window of the first token that is reported; of a long prompt, the last tokens are."""
    tokens: list[Token]
    """All tokens of the window."""
    top: list[list[Prediction]]
    """The most probable next tokens at each reported position."""
    lens: list[LensGridRow]
    patterns: list[Array]
    """By layer: (H, n, n) over the n reported positions, row = query, column = key. A row sums to 1 with earlier keys."""


def first_reported(tokens: int, layers: int, heads: int) -> int:
    """Index of the first token so that attention weights and lens cells stay within their bounds; at least one is reported."""
    count = tokens
    while count > 1 and (layers * heads * count * (count + 1) // 2 > MOST_WEIGHTS or (layers + 1) * count > MOST_LENS_CELLS):
        count -= 1
    return tokens - count


def prompt_report(opened: OpenModel, traced: CachedTrace, *, dropped: int, interventions: str = "") -> PromptReport:
    """Compute a prompt's report from its trace, a few positions at a time."""
    config, trace = opened.model.config, traced.trace
    label = opened.tokenizer.label
    first = first_reported(len(trace.ids), config.layers, config.heads)
    lens: dict[str, list[list[Prediction]]] = {}
    for name in ("blocks.0.resid_pre", *(f"blocks.{layer}.resid_post" for layer in range(config.layers))):
        lens[name] = _predictions(opened, trace[name][first:], LENS_TOKENS)
    patterns = []
    for layer in range(config.layers):
        pattern, _ = trace.pattern_and_values(layer)  # (H, T, T)
        patterns.append(Array.of(pattern[:, first:, first:].numpy(force=True)))
        check()
    last_stream = trace[f"blocks.{config.layers - 1}.resid_post"][first:]
    return PromptReport(
        run=opened.run.name,
        checkpoint=opened.checkpoint,
        step=opened.step,
        interventions=interventions,
        dropped=dropped,
        first=first,
        tokens=[Token(id_, label(id_), p) for id_, p in zip(trace.ids, traced.probabilities, strict=True)],
        top=_predictions(opened, last_stream, NEXT_TOKENS),
        lens=[LensGridRow(name, cells) for name, cells in lens.items()],
        patterns=patterns,
    )


def _predictions(opened: OpenModel, stream: "Tensor", most: int) -> list[list[Prediction]]:
    """The most probable tokens of the logit lens of each row of `stream` (n, C); of the last stream, the model's prediction."""
    from models.trace import layer_norm

    found = []
    for start in range(0, len(stream), POSITIONS_AT_ONCE):
        normed = layer_norm(stream[start : start + POSITIONS_AT_ONCE], opened.model.ln_f)
        logits = unembed(opened.model, normed).detach()  # (n, V)
        values, ids = logits.topk(min(most, logits.shape[-1]))
        # float64: in fp32 the rest of 1 for all other tokens would be lost.
        probabilities = (values.double() - logits.double().logsumexp(-1, keepdim=True)).exp().tolist()
        for row_ids, row in zip(ids.tolist(), probabilities, strict=True):
            found.append([Prediction(id_, opened.tokenizer.label(id_), p) for id_, p in zip(row_ids, row, strict=True)])
    return found
