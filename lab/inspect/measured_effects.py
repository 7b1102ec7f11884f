"""Measured effects of many interventions: every patch from a second prompt, and each head switched off.

One vector of the first prompt at a time is replaced by the second's, or one head is switched off, and the rest of the pass is
computed anew (Meng et al. 2022, "Locating and Editing Factual Associations in GPT"; Wang et al. 2022, "Interpretability in the
Wild"). What a patch changes is the difference of two logits. In the comments B is the batch, T the tokens up to the position, C
the width, L the layers, H the heads.
"""

import time
from collections.abc import Iterator
from itertools import chain, islice, product
from math import inf
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from lab.core.number_format import probability, significant, whole
from lab.inspect.intervention_effect import kl_bits
from lab.inspect.interventions import name_of
from lab.inspect.stages.stage_context import StageContext
from lab.views.blocks import Array, Matrix, MatrixPanels, View
from lab.views.number_tables import Numbers
from lab.views.softmax_table import softmax
from models.check import check
from models.gpt import GPT, run_block
from models.parameter_count import parameter_count
from models.trace import Trace

AT_ONCE = 1 << 10
"""Tokens that are computed at one time, over all patches."""
SECONDS = 0.5
"""After so many a view that is not complete says how far it has come."""
PARTS = {"resid_pre": "stream before", "attn_out": "attention", "mlp_out": "MLP"}


class Patches(NamedTuple):
    """The difference of the two logits in prompt 1, in prompt 2, and by how much each patch changes it in prompt 1."""

    first: float
    second: float
    positions: range
    """Positions of the first prompt that have one in the second, without a beginning that is the same in both."""
    by_part: dict[str, Numbers]
    """(positions, layers) for each of PARTS."""
    by_head: Numbers
    """(H, layers): a head's output at all of the positions."""
    done: set[tuple[int, str]]
    """Layers and parts, or "heads", that are computed."""

    @property
    def parts(self) -> dict[str, Numbers]:
        return {**self.by_part, "heads": self.by_head}


@torch.no_grad()
def every_patch(
    model: GPT,
    first: Trace,
    second: Trace,
    at: tuple[int, int],
    tokens: tuple[int, int],
    found: Patches | None = None,
    seconds: float = inf,
) -> Patches:
    """Patch everything that the first prompt has at its position `at[0]` and before, aligned with `at[1]` of the second. Goes on
    with `found`, and ends after about so many seconds."""
    began = time.monotonic()
    length, offset = at[0] + 1, at[1] - at[0]
    positions = range(max(0, -offset), length)
    if offset == 0:  # up to the first token that differs both have the same vectors
        different = (position for position in positions if first.ids[position] != second.ids[position])
        positions = range(next(different, 0), length)
    direction = model.wte.weight[tokens[0]] - model.wte.weight[tokens[1]]  # (C,)
    here, there = list(positions), [position + offset for position in positions]
    layers, heads = model.config.layers, model.config.heads
    if found is None:
        ends = [
            float(trace["ln_final.out"][place].double() @ direction.double())
            for trace, place in zip((first, second), at, strict=True)
        ]
        by_part = {part: np.zeros((len(positions), layers)) for part in PARTS}
        found = Patches(ends[0], ends[1], positions, by_part, np.zeros((heads, layers)), set())
    for layer, (part, values) in product(range(layers), found.parts.items()):
        if (layer, part) in found.done:
            continue
        block = f"blocks.{layer}."
        if part == "heads":
            outputs = second.head_out(layer, there) - first.head_out(layer, here)  # (H, positions, C)
            plain, begin, is_middle = first[f"{block}resid_mid"][:length], layer, True
            changed = (_rows(plain, here, output) for output in outputs.to(plain.dtype))
        else:
            added = second[block + part][there] - first[block + part][here]  # (B, C)
            starts = {"resid_pre": (f"{block}resid_pre", layer, False), "attn_out": (f"{block}resid_mid", layer, True)}
            name, begin, is_middle = starts.get(part, (f"{block}resid_post", layer + 1, False))
            plain = first[name][:length]
            changed = (_rows(plain, [row], change) for row, change in zip(here, added, strict=True))
        vectors = last_vectors(model, chain([plain], changed), len(plain), begin, is_middle)
        logits = vectors.double() @ direction.double()  # (1 + B,)
        values[:, layer] = (logits[1:] - logits[0]).numpy()
        found.done.add((layer, part))
        if time.monotonic() > began + seconds:
            break
    return found


def _rows(stream: Tensor, rows: list[int], change: Tensor) -> Tensor:
    changed = stream.clone()
    changed[rows] += change
    return changed


def last_vectors(model: GPT, streams: Iterator[Tensor], tokens: int, layer: int, is_middle: bool) -> Tensor:
    """The final norm's output at the last position, (B, C), of each of the streams (T, C) that enter a layer, or its MLP if
    `is_middle`."""
    found: list[Tensor] = []
    for batch in _batches(streams, max(1, AT_ONCE // tokens)):
        x = torch.stack(batch)  # (B, T, C)
        for number in range(layer, model.config.layers):
            block = model.blocks[number]
            x = x + block.mlp(block.ln_2(x)) if is_middle and number == layer else run_block(block, x)
            check()
        found.append(model.ln_f(x[:, -1]))
    return torch.cat(found)


def _batches(streams: Iterator[Tensor], size: int) -> Iterator[list[Tensor]]:
    while batch := list(islice(streams, size)):
        yield batch


def patches_view(first: StageContext, second: StageContext, token: int | None, against: int | None) -> View:
    """The view of every patch; the tokens are by default what the second prompt predicts and what the first does. Where it takes
    long it is partial, with the number of patches so far, and goes on when it is asked for again."""
    wanted = second.answer if token is None else token
    other = first.answer if against is None else against
    if other == wanted:
        other = int(np.argsort(-first.logits, kind="stable")[int(first.answer == wanted)])
    traces, places, tokens = (first.trace, second.trace), (first.position, second.position), (wanted, other)
    key = ("patches", tuple(second.ids), places, tokens)
    found = first.traced.get(key, 0)
    found = every_patch(first.opened.model, *traces, places, tokens, found, SECONDS)
    first.traced.put(key, 0, found)
    title, all_of_them = "every patch from prompt 2 into prompt 1", sum(each.size for each in found.parts.values())
    if len(found.done) < len(found.parts) * first.config.layers:
        so_far = sum(len(found.parts[part]) for _, part in found.done)
        return View("patches", title, f"{whole(so_far)} of {whole(all_of_them)} patches are computed.", [], is_partial=True)
    of_heads = found.by_head
    limit = max(float(np.abs(each).max()) for each in found.parts.values()) or 1.0
    columns = [f"{layer + 1}" for layer in range(first.config.layers)]
    rows = [first.name(position) for position in found.positions]

    def matrix(title: str, labels: list[str], values: Numbers) -> Matrix:
        chosen = np.unravel_index(int(np.abs(values).argmax()), values.shape)
        selected = int(chosen[0]), int(chosen[1])
        return Matrix(title, labels, columns, Array.of(values), "columns are layers", "", selected, "diverging", limit)

    panels = MatrixPanels(
        [matrix(PARTS[part], rows, values) for part, values in found.by_part.items()], largest=0, columns="layer"
    )
    heads = matrix("heads, at all positions", [f"head {head + 1}" for head in range(first.config.heads)], of_heads)
    head, layer = np.unravel_index(int(np.abs(of_heads).argmax()), of_heads.shape)
    label = first.tokenizer.label
    sentence = (
        f"The logit of “{label(wanted)}” minus that of “{label(other)}” is {significant(found.first)} in prompt 1 and "
        f"{significant(found.second)} in prompt 2. Each cell shows how this difference changes in prompt 1 when one vector is "
        f"taken from prompt 2. Of the heads, {name_of('attn.z', int(layer), int(head))} changes it most, by "
        f"{significant(float(of_heads[head, layer]))}."
    )
    return View("patches", title, sentence, [panels, heads])


MOST_WORK = 2e11
"""Floating-point operations from which on the heads are not measured; GPT-2's of a sentence take some seconds on two cores."""
LITTLE = 0.01
"""Bits below which a head's effect is called small."""


class HeadEffects(NamedTuple):
    """The effect of each head, (L, H): the KL divergence in bits, and the probability left to the token predicted with all heads.
    `layer` and `head`, 0-based, are those of the largest divergence."""

    kl: Numbers
    left: Numbers
    layer: int
    head: int

    @property
    def matters(self) -> bool:
        return bool(self.kl[self.layer, self.head] >= LITTLE)


@torch.no_grad()
def head_effects(context: StageContext) -> HeadEffects | None:
    """The effect of each head at the position; None where an intervention is on, or the work is too much."""
    model, config, length = context.opened.model, context.config, context.position + 1
    work = config.layers * config.heads * length * parameter_count(config)
    if context.trace.edits or work > MOST_WORK:
        return None
    kept: HeadEffects | None = context.traced.get("head effects", context.position)
    if kept is None:
        kl, left = np.zeros((2, config.layers, config.heads))
        for layer in range(config.layers):
            plain = context.trace[f"blocks.{layer}.resid_mid"][:length]  # (T, C)
            without = (plain - out for out in context.trace.head_out(layer, range(length)).to(plain.dtype))
            ends = last_vectors(model, without, length, layer, is_middle=True)  # (H, C)
            logits = context.unembed(ends.numpy())
            kl[layer] = [kl_bits(context.logits, row) for row in logits]
            left[layer] = [softmax(row.astype(np.float64))[context.answer] for row in logits]
        layer, head = divmod(int(kl.argmax()), config.heads)
        kept = HeadEffects(kl, left, layer, head)
        context.traced.put("head effects", context.position, kept)
    return kept


def worth_a_look(context: StageContext, effects: HeadEffects | None) -> str:
    """The sentence that names the head with the largest effect, and a space; "" where none was measured."""
    if effects is None:
        return ""
    at = effects.layer, effects.head
    before, after = (probability(float(p)) for p in (softmax(context.logits)[context.answer], effects.left[at]))
    lead = "Worth a look" if effects.matters else "No head alone matters much here; the most"
    divergence = f"{significant(float(effects.kl[at]))} bits of KL divergence"
    change = f"{divergence}, “{context.tokenizer.label(context.answer)}” {before} → {after}"
    return f"{lead}: {name_of('attn.z', *at)}. Switched off, it moves the whole prediction most: {change}. "
