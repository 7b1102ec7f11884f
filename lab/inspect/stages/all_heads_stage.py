"""Attention heads side by side: of one layer as a table, of all layers as a gallery of thumbnails, each head with a summary."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from lab.core.number_format import counted, probability, significant
from lab.inspect.stages.stage_context import HEAD_KEYS, Stage, StageContext
from lab.views.blocks import Array, Cell, Column, Destination, Gallery, Matrix, Parity, Table, Thumbnail, View
from lab.views.number_refs import ref
from lab.views.number_tables import Numbers, around, number
from models.check import check

if TYPE_CHECKING:
    from torch import Tensor

    from lab.inspect.measured_effects import HeadEffects

SINK = 0.5
"""Attention on one key from which on a head is named for it, such as a first-token sink."""
DIFFUSE = 0.8
"""Fraction of the maximum entropy from which on a head is called diffuse."""

COLUMNS = [
    Column("head", align="left"),
    Column("bits"),
    Column("self", optional=2),
    Column("previous", optional=3),
    Column("first", optional=4),
    Column("most attended", align="left"),
    Column("", align="right"),
    Column("kind", align="left", optional=1),
]
OFF = Column("if off")
"""Title of the column behind the head's name, where the heads' effects were measured."""

KEYS = 64
"""Keys drawn for each head of the layer, those nearest to the position."""
TALL = (26, 40)
"""Most lines of one layer's thumbnails, so that a screen of 40 lines shows it whole, and a wide one."""
GAIN = 1.5
"""Growth of a thumbnail for which a layer's heads take more lines."""
WIDE = 130
"""Columns of the view from which on the screen is taken to be tall, too."""
LONG = 512
"""Tokens beyond which the trace's cached layer is released before all layers are computed."""
ROOM = 80
"""Default width of the view in columns."""


class HeadSummary(NamedTuple):
    """One head's attention from one token, in six numbers."""

    bits: float
    """Entropy, −Σ p log2 p: 0 for one key alone, log2(n) for n keys alike."""
    itself: float
    previous: float
    """0 for the first token, which has none before it."""
    first: float
    key: int
    """The most attended token."""
    most: float
    """Its attention."""

    def kind(self, choices: int) -> str:
        """Name of the head's behaviour at this token, "" for none of the common ones."""
        if choices < 3:
            return ""
        if self.first >= SINK:
            return "first-token sink"
        if self.previous >= SINK:
            return "previous-token"
        if self.itself >= SINK:
            return "self"
        return "diffuse" if self.bits >= DIFFUSE * math.log2(choices) else ""

    def brief(self, choices: int) -> str:
        """The kind in at most two words."""
        return {
            "first-token sink": f"sink {probability(self.first, 0)}",
            "previous-token": f"prev {probability(self.previous, 0)}",
            "self": f"self {probability(self.itself, 0)}",
            "diffuse": "diffuse",
        }.get(self.kind(choices), "")


def entropy_bits(pattern: Numbers) -> float:
    nonzero = pattern[pattern > 0]
    return float(-(nonzero * np.log2(nonzero)).sum()) + 0.0


def summary_of(pattern: Numbers) -> HeadSummary:
    """The summary of `pattern` (i + 1,), the attention of token i to each token up to itself."""
    key = int(pattern.argmax())
    previous = float(pattern[-2]) if len(pattern) > 1 else 0.0
    return HeadSummary(entropy_bits(pattern), float(pattern[-1]), previous, float(pattern[0]), key, float(pattern[key]))


def most_bits(choices: int) -> str:
    return "max 0 bits" if choices == 1 else f"max {significant(math.log2(choices))} bits"


def row_of(
    context: StageContext, layer: int, head: int, name: str, found: HeadSummary, effects: "HeadEffects | None"
) -> list[Cell]:
    """The summary as a row under COLUMNS."""
    at, block = context.position, f"blocks.{layer}.attn."

    def mass(key: int, p: float, bar: bool = False) -> Cell:
        return Cell(probability(p), p, ref(f"{block}pattern", head, at, key), p if bar else None)

    return [
        context.part_cell(name, context.off("attn.z", head, layer)),
        *([] if effects is None else [Cell(probability(float(effects.left[layer, head])))]),
        number(found.bits, 2, ref(f"{block}entropy", head, at)),
        mass(at, found.itself),
        mass(at - 1, found.previous) if at else Cell("none", style="dim"),
        mass(0, found.first),
        Cell(context.name(found.key)),
        mass(found.key, found.most, bar=True),
        Cell(found.kind(at + 1), style="dim"),
    ]


def _table(context: StageContext, effects: "HeadEffects | None", rows: list[list[Cell]], selected: int) -> Table:
    title = f"query {context.here}: entropy over {context.position + 1} keys, {most_bits(context.position + 1)}"
    if effects is None:
        return Table(COLUMNS, rows, title=title, selected=selected)
    title += f" · if off: “{context.tokenizer.label(context.answer)}” without that head"
    return Table([COLUMNS[0], OFF, *COLUMNS[1:]], rows, title=title, selected=selected)


def kind_and_entropy(found: HeadSummary, choices: int) -> str:
    """`first-token sink, entropy 0.91 bits over 4 keys (max 2 bits)`; of diffuse attention also its fraction of the maximum."""
    kind = found.kind(choices)
    most = most_bits(choices)
    if kind == "diffuse":
        most = f"{probability(found.bits / math.log2(choices), 0)} of {most}; diffuse from {DIFFUSE:.0%} on"
    entropy = f"entropy {significant(found.bits)} bits over {counted(choices, 'key')} ({most})"
    return f"{kind}, {entropy}" if kind else entropy


def describe_head(context: StageContext, name: str, found: HeadSummary, off: str = "") -> str:
    """`Head 2.3 at “ ran”: first-token sink, entropy 0.91 bits over 4 keys (max 2 bits); 10% on itself, 80% on the first …`."""
    at = context.position
    parts = [f"{probability(found.itself)} on itself"]
    if at:
        parts.append(f"{probability(found.previous)} on the previous token")
    if at > 1:
        parts.append(f"{probability(found.first)} on the first")
    if found.key not in (0, at - 1, at):
        parts.append(f"{probability(found.most)} on {context.quoted(found.key)}")
    state = f" ({off}: this pattern has no effect)" if off == "✗ off" else f" ({off})" if off else ""
    return f"Head {name}{state} at {context.here}: {kind_and_entropy(found, at + 1)}; {', '.join(parts)}."


@Stage(
    "all heads",
    "Layer {layer} has {heads}, each with {head_width} dimensions.",
    HEAD_KEYS,
    computes="attn.z",
    code={"gpt.py: Attention.forward": ("z = causal_attention",), "attention_kernels.py: causal_attention": ("pattern =",)},
)
def heads(context: StageContext) -> View:
    """The heads of the layer, one row each: the prediction without it, its entropy, and the attention on itself, on the previous
    and on the first token."""
    from lab.inspect.measured_effects import head_effects, worth_a_look

    effects = head_effects(context)
    at = context.position
    patterns = context.array(f"{context.block}attn.pattern")[:, at, : at + 1].astype(np.float64)  # (H, i + 1)
    found = [summary_of(pattern) for pattern in patterns]
    rows = [row_of(context, context.layer, head, f"head {head + 1}", each, effects) for head, each in enumerate(found)]
    table = _table(context, effects, rows, context.head)
    shown = around(at + 1, at, KEYS)
    overview = Matrix(
        f"attention of each head from {context.here}",
        [f"head {head + 1}" for head in range(context.config.heads)],
        [context.label(key) for key in shown],
        Array.of(patterns[:, shown.start : shown.stop]),
        "each row sums to 1" if len(shown) == at + 1 else f"tokens {shown.start + 1} to {shown.stop}",
        ref(f"{context.block}attn.pattern", ":", at, f"{shown.start}:"),
        (context.head, max(0, int(patterns[context.head].argmax()) - shown.start)),
        "sequential",
        1.0,
    )
    # Independent of the pattern itself: the model's own z, from which the pattern is judged through the values.
    values = context.heads(f"{context.block}attn.v")[:, : at + 1].astype(np.float64)
    z = np.einsum("hk,hkd->hd", patterns, values)
    return View(
        "heads",
        f"{context.layer_name} · attention · all heads",
        f"{worth_a_look(context, effects)}{_summary(context, found)}",
        [table, overview],
        context.parity(context.before(f"{context.block}attn.z", at), z, at),
    )


def _summary(context: StageContext, found: list[HeadSummary]) -> str:
    if context.position == 0:
        return f"{context.here} is the first token: every head attends only to it."
    sharpest = min(range(len(found)), key=lambda head: found[head].bits)
    of = found[sharpest]
    target = "itself" if of.key == context.position else context.quoted(of.key)
    sentence = (
        f"Lowest entropy at {context.here}: head {sharpest + 1} of {len(found)}, {significant(of.bits)} bits, "
        f"{probability(of.most)} on {target}."
    )
    sinks = [str(head + 1) for head, each in enumerate(found) if each.kind(context.position + 1) == "first-token sink"]
    if sinks:
        sentence += f" First-token sink: head{'s' if len(sinks) > 1 else ''} {', '.join(sinks)}."
    return sentence


@dataclass(frozen=True)
class Overview:
    """Every head: its downsampled pattern, and the fields of `HeadSummary` for every position."""

    parity: Parity
    pictures: Numbers
    """(L, H, size, size)"""
    summaries: list[Numbers]
    """Each (L, H, T)."""

    def of(self, *at: int) -> HeadSummary:
        """The summary of a layer, head and position."""
        return HeadSummary(*(each[at].item() for each in self.summaries))


@Stage(
    "layers × heads",
    "The model has {facts.layers} × {facts.heads} heads; each picture is the attention of one.",
    HEAD_KEYS,
    code={"gpt.py: GPT.hidden": ("for layer", "x = self.parts"), "attention_kernels.py: causal_attention": ("pattern =",)},
)
def thumbnails(context: StageContext) -> View:
    """Thumbnails of all heads of all layers, a sentence on the chosen one, and all summaries as a table."""
    from lab.inspect.measured_effects import head_effects, worth_a_look

    effects = head_effects(context)
    size = picture_size(context.width or ROOM, context.config.heads, len(context.ids))
    found = context.traced.get_or_compute(("overview", size), 0, lambda: _overview(context, size))
    at, heads = context.position, context.config.heads
    pairs = [(layer, head) for layer in range(context.config.layers) for head in range(heads)]
    summaries = [found.of(layer, head, at) for layer, head in pairs]
    names = [f"{layer + 1}.{head + 1}" for layer, head in pairs]
    chosen = context.layer * heads + context.head
    pooled = -(-len(context.ids) // size)
    gallery = Gallery(
        "attention patterns, query ↓ key →",
        "cell: query × key" if size == len(context.ids) else f"downsampled (max of {pooled}×{pooled})",
        [
            Thumbnail(
                name,
                Array.of(found.pictures[layer, head]),
                context.off("attn.z", head, layer).removeprefix("✗ ")
                or summary.brief(at + 1)
                or f"“{context.label(summary.key).strip()}” {probability(summary.most, 0)}",
                describe_head(context, name, summary, context.off("attn.z", head, layer)),
                summary.bits,
                ref(f"blocks.{layer}.attn.entropy", head, at),
                Destination("matrix", layer, None, head),
                bool(context.off("attn.z", head, layer)),
            )
            for (layer, head), name, summary in zip(pairs, names, summaries, strict=True)
        ],
        heads,
        chosen,
    )
    rows = [row_of(context, *pair, name, summary, effects) for pair, name, summary in zip(pairs, names, summaries, strict=True)]
    table = _table(context, effects, rows, chosen)
    off = context.off("attn.z", context.head)
    title = f"{context.layer_name} · head {context.head + 1}" + (
        f" {off}" if off else f": attention entropy {significant(summaries[chosen].bits)} bits"
    )
    words = f"{worth_a_look(context, effects)}{describe_head(context, names[chosen], summaries[chosen], off)}"
    look = None if effects is None else Destination("thumbnails", effects.layer, None, effects.head)
    return View("thumbnails", title, words, [gallery, table], found.parity, worth_a_look=look)


def picture_size(room: int, heads: int, tokens: int) -> int:
    """Rows and columns of one thumbnail: as many as fit `room` with the layer's heads on one or more lines, two rows to a line of
    the screen, so that a whole layer stays in sight.
    """
    tall = TALL[room >= WIDE]
    best = 1
    for lines in range(1, heads + 1):
        across = (room + 1) // -(-heads // lines) - 1
        size = min(tokens, across if lines == 1 else min(across, 2 * (tall // lines - 2)))
        if size >= GAIN * best:
            best = size
    return best


def _overview(context: StageContext, size: int) -> Overview:
    """Compute the overview from the patterns and values of each layer."""
    import torch

    tokens = len(context.ids)
    pictures, summaries = [], []
    worst, numbers, largest = 0.0, 0, 1.0
    if len(context.ids) > LONG:
        context.trace.release()
    for layer in range(context.config.layers):
        pattern, v = context.trace.pattern_and_values(layer)  # (H, T, T), (H, T, D)
        pictures.append(downsampled(pattern.numpy(), size))
        summaries.append(_summaries(pattern))
        fast = context.traced.fast.get(f"blocks.{layer}.attn.z")
        # Independent of the pattern itself: the model's own z where it is cached, else the rows' sums of 1.
        delta = pattern.sum(-1) - 1 if fast is None else pattern @ v - fast.transpose(0, 1)
        worst, numbers = max(worst, float(delta.abs().max())), numbers + delta.numel()
        largest = largest if fast is None else max(largest, float(fast.abs().max()))
        del pattern, v, delta  # or two layers' patterns would be in memory at once
        check()
    stacked = [torch.stack(each).numpy() for each in zip(*summaries, strict=True)]
    name = (
        "attn.z of all layers · fast path"
        if context.traced.fast.get("blocks.0.attn.z") is not None
        else "sums of all patterns' rows · 1 each"
    )
    assert stacked[0].shape == (context.config.layers, context.config.heads, tokens)
    return Overview(Parity(name, worst, numbers, largest), np.stack(pictures), stacked)


def _summaries(pattern: "Tensor") -> "list[Tensor]":
    """The fields of `HeadSummary` in their order for patterns (H, T, T), each (H, T)."""
    import torch

    bits = torch.special.entr(pattern).sum(-1) / math.log(2)
    previous = torch.nn.functional.pad(pattern.diagonal(-1, 1, 2), (1, 0))
    most, key = pattern.max(-1)
    # Copies: a view would keep the whole pattern, 50 MB a layer of GPT-2's with 1,024 tokens.
    return [bits, pattern.diagonal(0, 1, 2).clone(), previous, pattern[:, :, 0].clone(), key, most]


def downsampled(pattern: Numbers, size: int) -> Numbers:
    """Patterns (H, T, T) as (H, size, size): the maximum of each group of queries × keys; NaN where all are masked."""
    tokens = pattern.shape[-1]
    starts = np.linspace(0, tokens, size + 1).astype(int)[:-1]
    pooled = np.maximum.reduceat(np.maximum.reduceat(pattern, starts, axis=1), starts, axis=2)
    lasts = np.append(starts[1:], tokens) - 1
    return np.where(starts[None, :] > lasts[:, None], np.nan, pooled).astype(np.float32)
