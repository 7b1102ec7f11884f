"""All heads of all layers at once: a small picture of each one's pattern, and what it does at the position, in a line."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from lab.core.number_format import significant
from lab.inspect.stages.head_summary import COLUMNS, Summary, head_in_words, most_bits, row_of
from lab.inspect.stages.stage_context import Numbers, StageContext
from lab.views.blocks import Array, Gallery, Parity, Table, Thumbnail, View
from lab.views.number_refs import ref
from models.unembed import Slices

if TYPE_CHECKING:
    from torch import Tensor

SMALLEST, LARGEST = 8, 24
"""Columns of a picture: as many as let a layer's heads stand in one line, but no fewer and no more than these."""
LONG = 512
"""Tokens beyond which the inside of the layer last looked at is let go of before all layers are gone through."""
ROOM = 80
"""Columns of the view where they are not known."""


@dataclass(frozen=True)
class Overview:
    """Of every head (L, H, ...): its pattern shrunken, and for every position what `Summary` holds, in its order."""

    parity: Parity
    pictures: Numbers
    """(L, H, rows, columns)"""
    bits: Numbers
    itself: Numbers
    previous: Numbers
    first: Numbers
    key: Numbers
    most: Numbers
    """Each (L, H, T)."""

    def of(self, layer: int, head: int, position: int) -> Summary:
        at = layer, head, position
        bits, itself, previous, first, key, most = (
            each[at].item() for each in (self.bits, self.itself, self.previous, self.first, self.key, self.most)
        )
        return Summary(bits, itself, previous, first, key, most)


def thumbnails(look: StageContext) -> Slices[View]:
    """A picture of each head of each layer, its summary in words where it is chosen, and all summaries as a table."""
    columns = picture_columns(look.width or ROOM, look.config.heads, len(look.ids))
    rows = picture_rows(look.width or ROOM, look.config.heads, columns)
    found: Overview | None = look.traced.held(("overview", columns, rows), 0)
    if found is None:
        found = yield from _overview(look, rows, columns)
        look.traced.hold(("overview", columns, rows), 0, found)
    at, heads = look.position, look.config.heads
    places = [(layer, head) for layer in range(look.config.layers) for head in range(heads)]
    summaries = [found.of(layer, head, at) for layer, head in places]
    names = [f"{layer + 1}.{head + 1}" for layer, head in places]
    chosen = look.layer * heads + look.head
    gallery = Gallery(
        "every head's pattern, query ↓ key →",
        _legend(len(look.ids), rows, columns),
        [
            Thumbnail(
                name,
                Array.of(found.pictures[layer, head]),
                summary.brief(at + 1),
                head_in_words(look, name, summary),
                summary.bits,
                ref(f"blocks.{layer}.attn.entropy", head, at),
            )
            for (layer, head), name, summary in zip(places, names, summaries, strict=True)
        ],
        heads,
        chosen,
    )
    table = Table(
        COLUMNS,
        [row_of(look, *place, name, summary) for place, name, summary in zip(places, names, summaries, strict=True)],
        title=f"from {look.here}: entropy over {at + 1} choices, {most_bits(at + 1)}",
        selected=chosen,
    )
    kind = summaries[chosen].brief(at + 1)
    entropy = f"{significant(summaries[chosen].bits)} bits"
    title = f"{look.place} · head {look.head + 1} of all: {entropy}" + (f", {kind}" if kind else "")
    return View("thumbnails", title, head_in_words(look, names[chosen], summaries[chosen]), [gallery, table], found.parity)


def picture_columns(room: int, heads: int, tokens: int) -> int:
    """Character cells across one picture, one of them empty."""
    return min(tokens, max(SMALLEST, min(LARGEST, (room + 1) // heads - 1)))


def picture_rows(room: int, heads: int, columns: int) -> int:
    """Lines of one picture: a character is twice as high as it is wide, so half as many, unless each can be drawn twice."""
    return columns if heads * (2 * columns + 1) - 1 <= room else max(1, (columns + 1) // 2)


def _legend(tokens: int, rows: int, columns: int) -> str:
    shades = "░▒▓█ 0 to 1   · masked"
    if (rows, columns) == (tokens, tokens):
        return f"{shades}   one character for each query and key"
    queries, keys = (-(-tokens // each) for each in (rows, columns))
    of = f"{queries} quer{'y' if queries == 1 else 'ies'} × {keys} key{'s' if keys > 1 else ''}"
    return f"{shades}   shrunken: a character is the largest of up to {of}"


def _overview(look: StageContext, rows: int, columns: int) -> Slices[Overview]:
    """Goes through all layers, one a slice; what is not needed of a layer is not made."""
    import torch

    tokens = len(look.ids)
    pictures, summaries = [], []
    worst, numbers = 0.0, 0
    if len(look.ids) > LONG:
        look.trace.release()
    for layer in range(look.config.layers):
        pattern, v = look.trace.pattern_and_values(layer)  # (H, T, T), (H, T, D)
        pictures.append(shrunken(pattern.numpy(), rows, columns))
        summaries.append(_summaries(pattern))
        fast = look.traced.fast.get(f"blocks.{layer}.attn.z")
        # Independent of the pattern itself: the model's own z where it is held, else that each row adds up to 1.
        delta = pattern.sum(-1) - 1 if fast is None else pattern @ v - fast.transpose(0, 1)
        worst, numbers = max(worst, float(delta.abs().max())), numbers + delta.numel()
        del pattern, v, delta  # or two layers' patterns would be in memory at once
        yield
    stacked = [torch.stack(each).numpy() for each in zip(*summaries, strict=True)]
    name = (
        "attn.z of all layers · fast path"
        if look.traced.fast.get("blocks.0.attn.z") is not None
        else "sums of all patterns' rows · 1 each"
    )
    assert stacked[0].shape == (look.config.layers, look.config.heads, tokens)
    return Overview(Parity(name, worst, numbers), np.stack(pictures), *stacked)


def _summaries(pattern: "Tensor") -> "list[Tensor]":
    """What `Summary` holds, in its order, for every head and query of patterns (H, T, T): each (H, T)."""
    import torch

    bits = torch.special.entr(pattern).sum(-1) / math.log(2)
    previous = torch.nn.functional.pad(pattern.diagonal(-1, 1, 2), (1, 0))
    most, key = pattern.max(-1)
    # Copies: a view would keep the whole pattern, 50 MB a layer of GPT-2's with 1,024 tokens.
    return [bits, pattern.diagonal(0, 1, 2).clone(), previous, pattern[:, :, 0].clone(), key, most]


def shrunken(pattern: Numbers, rows: int, columns: int) -> Numbers:
    """Patterns (H, T, T) with the largest of so many queries × keys in the place of each group; NaN where all are masked."""
    tokens = pattern.shape[-1]
    downs, acrosses = (np.linspace(0, tokens, count + 1).astype(int)[:-1] for count in (rows, columns))
    pooled = np.maximum.reduceat(np.maximum.reduceat(pattern, downs, axis=1), acrosses, axis=2)
    lasts = np.append(downs[1:], tokens) - 1
    return np.where(acrosses[None, :] > lasts[:, None], np.nan, pooled).astype(np.float32)
