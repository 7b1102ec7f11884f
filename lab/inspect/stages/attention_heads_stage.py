"""Attention heads side by side: of one layer as a table, of all layers as a gallery of thumbnails, each head with a summary."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from lab.core.number_format import probability, significant
from lab.inspect.stages.stage_context import StageContext
from lab.views.blocks import Array, Cell, Column, Gallery, Matrix, Parity, Table, Thumbnail, View
from lab.views.number_refs import ref
from lab.views.number_tables import Numbers, around, number
from models.unembed import Slices

if TYPE_CHECKING:
    from torch import Tensor

SINK = 0.5
"""A head that gives the first token at least this much of its attention is said to rest on it."""
SPREAD = 0.8
"""From this part of the largest entropy possible on, a head is called spread out."""

COLUMNS = [
    Column("head", align="left"),
    Column("bits"),
    Column("itself"),
    Column("previous"),
    Column("first"),
    Column("most attended", align="left"),
    Column("", align="right"),
    Column("kind", align="left", optional=True),
]

KEYS = 64
"""Keys drawn for each head of the layer, those nearest to the position."""
SMALLEST, LARGEST = 8, 24
"""Columns of a picture: as many as let a layer's heads stand in one line, but no fewer and no more than these."""
LONG = 512
"""Tokens beyond which the inside of the layer last looked at is let go of before all layers are gone through."""
ROOM = 80
"""Columns of the view where they are not known."""


class Summary(NamedTuple):
    """Of one head's attention from one token over itself and those before it."""

    bits: float
    """Entropy, −Σ p log2 p: 0 for one key alone, log2(n) for n keys alike."""
    itself: float
    previous: float
    """0 for the first token, which has none before it."""
    first: float
    key: int
    """The token that gets most."""
    most: float
    """What it gets."""

    def kind(self, choices: int) -> str:
        """What a head is called that looks mostly at one of the places that many heads look at; "" for any other."""
        if choices < 3:
            return ""
        if self.first >= SINK:
            return "rests on the first token (sink)"
        if self.previous >= SINK:
            return "looks one back"
        if self.itself >= SINK:
            return "looks at itself"
        return "spread out" if self.bits > SPREAD * math.log2(choices) else ""

    def brief(self, choices: int) -> str:
        """The kind in two words at most."""
        return {
            "rests on the first token (sink)": f"sink {probability(self.first, 0)}",
            "looks one back": f"back {probability(self.previous, 0)}",
            "looks at itself": f"self {probability(self.itself, 0)}",
            "spread out": "spread",
        }.get(self.kind(choices), "")


def entropy_bits(pattern: Numbers) -> float:
    seen = pattern[pattern > 0]
    return float(-(seen * np.log2(seen)).sum()) + 0.0


def summary_of(pattern: Numbers) -> Summary:
    """`pattern` (i + 1,) is what token i pays to each token up to itself."""
    key = int(pattern.argmax())
    previous = float(pattern[-2]) if len(pattern) > 1 else 0.0
    return Summary(entropy_bits(pattern), float(pattern[-1]), previous, float(pattern[0]), key, float(pattern[key]))


def most_bits(choices: int) -> str:
    return "so 0 bits" if choices == 1 else f"at most {significant(math.log2(choices))} bits"


def row_of(context: StageContext, layer: int, head: int, name: str, found: Summary) -> list[Cell]:
    """The summary as a row under COLUMNS."""
    at, block = context.position, f"blocks.{layer}.attn."

    def mass(place: int, p: float, bar: bool = False) -> Cell:
        return Cell(probability(p), p, ref(f"{block}pattern", head, at, place), p if bar else None)

    return [
        Cell(name),
        number(found.bits, 2, ref(f"{block}entropy", head, at)),
        mass(at, found.itself),
        mass(at - 1, found.previous) if at else Cell("none", style="dim"),
        mass(0, found.first),
        Cell(context.name(found.key)),
        mass(found.key, found.most, bar=True),
        Cell(found.kind(at + 1), style="dim"),
    ]


def head_in_words(context: StageContext, name: str, found: Summary) -> str:
    """`Head 2.3 rests on the first token (sink) at “ ran”: 0.91 bits over 4 choices (at most 2 bits), 80% on the first …`."""
    at = context.position
    kind = found.kind(at + 1)
    parts = [f"{probability(found.itself)} on itself"]
    if at:
        parts.append(f"{probability(found.previous)} on the previous token")
    if at > 1:
        parts.append(f"{probability(found.first)} on the first")
    if found.key not in (0, at - 1, at):
        parts.append(f"and most, {probability(found.most)}, on {context.quoted(found.key)}")
    does = f" {kind}" if kind and kind != "spread out" else " is spread out" if kind else ""
    entropy = f"{significant(found.bits)} bits over {at + 1} choice{'s' if at else ''} ({most_bits(at + 1)})"
    return f"Head {name}{does} at {context.here}: {entropy}, {', '.join(parts)}."


def heads(context: StageContext) -> View:
    """One line for each head of the layer: how spread its attention is, and what falls on the places that heads like."""
    at = context.position
    patterns = context.array(f"{context.block}attn.pattern")[:, at, : at + 1].astype(np.float64)  # (H, i + 1)
    found = [summary_of(pattern) for pattern in patterns]
    rows = [row_of(context, context.layer, head, f"head {head + 1}", each) for head, each in enumerate(found)]
    title = f"from {context.here}: entropy over {at + 1} choices, {most_bits(at + 1)}"
    table = Table(COLUMNS, rows, title=title, selected=context.head)
    shown = around(at + 1, at, KEYS)
    overview = Matrix(
        f"where each head looks from {context.here}",
        [f"head {head + 1}" for head in range(context.config.heads)],
        [context.label(key) for key in shown],
        Array.of(patterns[:, shown.start : shown.stop]),
        "each row adds up to 1" if len(shown) == at + 1 else f"tokens {shown.start + 1} to {shown.stop}",
        ref(f"{context.block}attn.pattern", ":", at, f"{shown.start}:"),
        (context.head, max(0, int(patterns[context.head].argmax()) - shown.start)),
    )
    # Independent of the pattern itself: the model's own z, from which the pattern is judged through the values.
    values = context.heads(f"{context.block}attn.v")[:, : at + 1].astype(np.float64)
    z = np.einsum("hk,hkd->hd", patterns, values)
    return View(
        "heads",
        f"{context.place} · attention · all heads",
        _summary(context, found),
        [table, overview],
        context.parity(context.before(f"{context.block}attn.z", at), z, at),
    )


def _summary(context: StageContext, found: list[Summary]) -> str:
    if context.position == 0:
        return f"{context.here} is the first token: every head can look at nothing but it."
    sharpest = min(range(len(found)), key=lambda head: found[head].bits)
    of = found[sharpest]
    target = "itself" if of.key == context.position else context.quoted(of.key)
    sentence = (
        f"Of {len(found)} heads, head {sharpest + 1} is the most decided at {context.here}: "
        f"{significant(of.bits)} bits, {probability(of.most)} on {target}."
    )
    sinks = [str(head + 1) for head, each in enumerate(found) if each.kind(context.position + 1).endswith("(sink)")]
    if sinks:
        which = f"Head {sinks[0]} rests" if len(sinks) == 1 else f"Heads {', '.join(sinks)} rest"
        sentence += f" {which} on the first token, {context.quoted(0)}: an attention sink."
    return sentence


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


def thumbnails(context: StageContext) -> Slices[View]:
    """A picture of each head of each layer, its summary in words where it is chosen, and all summaries as a table."""
    columns = picture_columns(context.width or ROOM, context.config.heads, len(context.ids))
    rows = picture_rows(context.width or ROOM, context.config.heads, columns)
    found: Overview | None = context.traced.held(("overview", columns, rows), 0)
    if found is None:
        found = yield from _overview(context, rows, columns)
        context.traced.hold(("overview", columns, rows), 0, found)
    at, heads = context.position, context.config.heads
    places = [(layer, head) for layer in range(context.config.layers) for head in range(heads)]
    summaries = [found.of(layer, head, at) for layer, head in places]
    names = [f"{layer + 1}.{head + 1}" for layer, head in places]
    chosen = context.layer * heads + context.head
    gallery = Gallery(
        "every head's pattern, query ↓ key →",
        _legend(len(context.ids), rows, columns),
        [
            Thumbnail(
                name,
                Array.of(found.pictures[layer, head]),
                summary.brief(at + 1),
                head_in_words(context, name, summary),
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
        [row_of(context, *place, name, summary) for place, name, summary in zip(places, names, summaries, strict=True)],
        title=f"from {context.here}: entropy over {at + 1} choices, {most_bits(at + 1)}",
        selected=chosen,
    )
    kind = summaries[chosen].brief(at + 1)
    entropy = f"{significant(summaries[chosen].bits)} bits"
    title = f"{context.place} · head {context.head + 1} of all: {entropy}" + (f", {kind}" if kind else "")
    return View("thumbnails", title, head_in_words(context, names[chosen], summaries[chosen]), [gallery, table], found.parity)


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


def _overview(context: StageContext, rows: int, columns: int) -> Slices[Overview]:
    """Goes through all layers, one a slice; what is not needed of a layer is not made."""
    import torch

    tokens = len(context.ids)
    pictures, summaries = [], []
    worst, numbers = 0.0, 0
    if len(context.ids) > LONG:
        context.trace.release()
    for layer in range(context.config.layers):
        pattern, v = context.trace.pattern_and_values(layer)  # (H, T, T), (H, T, D)
        pictures.append(shrunken(pattern.numpy(), rows, columns))
        summaries.append(_summaries(pattern))
        fast = context.traced.fast.get(f"blocks.{layer}.attn.z")
        # Independent of the pattern itself: the model's own z where it is held, else that each row adds up to 1.
        delta = pattern.sum(-1) - 1 if fast is None else pattern @ v - fast.transpose(0, 1)
        worst, numbers = max(worst, float(delta.abs().max())), numbers + delta.numel()
        del pattern, v, delta  # or two layers' patterns would be in memory at once
        yield
    stacked = [torch.stack(each).numpy() for each in zip(*summaries, strict=True)]
    name = (
        "attn.z of all layers · fast path"
        if context.traced.fast.get("blocks.0.attn.z") is not None
        else "sums of all patterns' rows · 1 each"
    )
    assert stacked[0].shape == (context.config.layers, context.config.heads, tokens)
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
