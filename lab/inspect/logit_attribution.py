"""Direct logit attribution: the contribution of each part of the model to a token's logit; together they add up to it.

The logit is a dot product with the final norm's output, and that norm is linear once its scale is frozen. So every vector that
was written into the residual stream has a contribution (Elhage et al. 2021, "A Mathematical Framework for Transformer
Circuits"; nostalgebraist 2020 for the logit lens that it generalises).

Interventions are linear too: each weights the values at the positions. An ablated part contributes 0,
a scaled one its scaled contribution, and a patch is one more part.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from lab.core.errors import UserError
from lab.core.number_format import fixed, probability, significant
from lab.inspect.interventions import name_of
from lab.inspect.stages.logits_and_sampling_stage import largest
from lab.inspect.stages.stage_context import StageContext
from lab.views.blocks import Cell, Column, Paragraph, Parity, Table, View
from lab.views.number_refs import ref
from lab.views.number_tables import decimals_for, term_decimals
from lab.views.softmax_table import softmax
from models.check import check
from models.config import ModelConfig
from models.gpt import GPT
from models.trace import BEFORE, Trace, apply
from models.trace_edits import Edit

FINAL_BIAS = "final norm's bias"


class Attribution(NamedTuple):
    """Contributions in the order of the computation, patches last; with `leftover` they add up to `logit`."""

    tokens: tuple[int, ...]
    """The token, and the one that it is compared with, if any."""
    logit: float
    """The token's logit, or its difference to that of the other."""
    contributions: list[tuple[str, float]]
    """Each part's label and its term in the logit (or in the difference)."""

    @property
    def leftover(self) -> float:
        """Rounding error: about 0."""
        return self.logit - sum(value for _, value in self.contributions)


@dataclass(frozen=True)
class Contributor:
    """One part's vector in the residual stream at a position, as it arrives at the final norm."""

    label: str
    vector: Tensor
    """(C,), float64."""
    weights: dict[int, float]
    """Weight of its output at each position: 1 at the position itself, unless there are interventions."""
    source: Callable[[int, int], str] | None
    """Reference of its output at a position and dimension; None for a patch, whose numbers are another prompt's."""


PUT = {"patch": "patched", "add": "steered", "project": "direction out"}


def patches(edits: Sequence[Edit]) -> list[Edit]:
    """Edits that put something into the residual stream: patches, and directions added to it or taken out."""
    return [edit for edit in edits if edit.action in PUT and not edit.name.endswith(".attn.z")]


def final_bias_at(config: ModelConfig) -> int:
    """Index of the final norm's bias among the contributions: those before it are parts, those after it patches."""
    return 2 + config.layers * (config.heads + 3)


def part_name(config: ModelConfig, edits: Sequence[Edit], index: int) -> str:
    """`layer 2 head 1`, `layer 4 mlp`, `final norm's bias`: the part of that index."""
    if index < 2:
        return ("token embedding", "position embedding")[index]
    if index == final_bias_at(config):
        return FINAL_BIAS
    if index > final_bias_at(config):
        edit = patches(edits)[index - final_bias_at(config) - 1]
        _, layer, part = edit.name.split(".", 2)
        return f"{name_of(part, int(layer), 0)} ({PUT[edit.action]})"
    layer_, inside = divmod(index - 2, config.heads + 3)
    names = [*(f"head {head + 1}" for head in range(config.heads)), "attention bias", "mlp", "mlp bias"]
    return f"layer {layer_ + 1} {names[inside]}"


@torch.no_grad()
def contributors(model: GPT, trace: Trace, position: int, layers: int | None = None) -> list[Contributor]:
    """Vectors that embeddings, heads, MLPs, biases and patches put into the residual stream; the same for all tokens.

    With `layers`, only those of so many layers, as they arrive at the next one. Reads each layer, which costs about one forward
    pass.
    """
    config, heads = model.config, model.config.heads
    weights = torch.zeros(len(trace.ids), dtype=torch.float64)
    weights[position] = 1.0
    patched: dict[Edit, Tensor] = {}
    found: list[tuple[Tensor, dict[int, float], Callable[[int, int], str]]] = []

    def through(name: str, weights: Tensor) -> Tensor:
        """Weights of the value called `name` before its edits."""
        edits = [edit for edit in trace.edits if edit.name == name]
        return _before(edits, weights, patched, trace[f"{name}{BEFORE}"] if edits else None)

    def add(written: Tensor, weights: Tensor, source: Callable[[int, int], str]) -> None:
        """Add what was `written`: (n, C) at the n positions whose weight is not 0, or (C,) if the same at every position."""
        if written.dim() == 1:
            total = float(weights.sum())
            found.append((total * written.double(), {position: total} if total else {}, source))
            return
        used = weights.nonzero()[:, 0]
        found.append((weights[used] @ written.double(), dict(zip(used.tolist(), weights[used].tolist(), strict=True)), source))

    if layers is not None:
        weights = through(f"blocks.{layers}.resid_pre", weights)
    for layer in reversed(range(config.layers if layers is None else layers)):
        block, hidden = f"blocks.{layer}.", f"h.{layer}."
        weights = through(f"{block}resid_post", weights)
        inner = through(f"{block}mlp_out", weights)
        mlp_bias = model.get_parameter(f"{hidden}mlp.c_proj.bias")
        add(mlp_bias, inner, lambda t, i, hidden=hidden: f"{hidden}mlp.c_proj.bias[{i}]")  # type: ignore[misc]
        used = inner.nonzero()[:, 0]
        written = trace[f"{block}mlp.post"][used].double() @ model.get_parameter(f"{hidden}mlp.c_proj.weight").double().T
        add(written, inner, lambda t, i, block=block: f"{block}mlp_out.unbiased[{t},{i}]")  # type: ignore[misc]
        weights = through(f"{block}resid_mid", weights)
        inner = through(f"{block}attn_out", weights)
        attention_bias = model.get_parameter(f"{hidden}attn.c_proj.bias")
        add(attention_bias, inner, lambda t, i, hidden=hidden: f"{hidden}attn.c_proj.bias[{i}]")  # type: ignore[misc]
        outputs = trace.head_out(layer, inner.nonzero()[:, 0].tolist())  # (H, n, C)
        for head in reversed(range(heads)):
            add(outputs[head], inner, lambda t, i, block=block, head=head: f"{block}attn.head_out[{head},{t},{i}]")  # type: ignore[misc]
        weights = through(f"{block}resid_pre", weights)
        check()
    used = weights.nonzero()[:, 0]
    add(trace["pos_embed"][used], weights, lambda t, i: f"pos_embed[{t},{i}]")
    add(trace["embed"][used], weights, lambda t, i: f"embed[{t},{i}]")
    result = [
        Contributor(part_name(config, trace.edits, index), vector.detach(), used, source)
        for index, (vector, used, source) in enumerate(reversed(found))
    ]
    nothing = torch.zeros(config.width, dtype=torch.float64)
    for k, edit in enumerate(patches(trace.edits)):
        _, of_layer, name = edit.name.split(".", 2)
        if layers is not None and int(of_layer) >= layers + (name == "resid_pre"):
            continue
        label = part_name(config, trace.edits, final_bias_at(config) + 1 + k)
        result.append(Contributor(label, patched.get(edit, nothing), {}, None))
    return result


def _before(edits: Sequence[Edit], weights: Tensor, patched: dict[Edit, Tensor], value: Tensor | None) -> Tensor:
    """Weights of the values before the edits, from `weights` (T,) of those after them; `patched` gets the terms of patches and
    directions, `value` is the value before all."""
    weights, values = weights.clone(), [value]
    for edit in edits:
        values.append(apply(edit, values[-1]) if values[-1] is not None else None)
    for edit, entering in zip(reversed(edits), reversed(values[:-1]), strict=True):
        rows = slice(None) if edit.position is None else slice(edit.position, edit.position + 1)
        if edit.action == "scale":
            weights[rows] *= edit.scale
        elif edit.action == "mean":
            each = weights[rows].sum() / len(weights)
            weights[rows] = 0.0
            weights += each
        elif edit.action == "patch" and edit.value is not None:
            patched[edit] = weights[rows].sum() * torch.tensor(edit.value, dtype=torch.float64)
            weights[rows] = 0.0
        elif edit.value is not None and entering is not None:
            vector = torch.tensor(edit.value, dtype=torch.float64)
            total = weights[rows].sum() * edit.scale
            along = total if edit.action == "add" else -(weights[rows] @ (entering[rows].double() @ vector))
            patched[edit] = along * vector
    return weights


@torch.no_grad()
def attribute(
    model: GPT, trace: Trace, position: int, token: int, against: int | None, found: Sequence[Contributor]
) -> Attribution:
    """Contributions of embeddings, heads, MLPs and biases to a token's logit after `position`, whose contributors are `found`.

    With `against`, to the difference of the two tokens' logits.
    """
    embedding = model.wte.weight.detach()  # (V, C)
    direction = embedding[token].double() - (embedding[against].double() if against is not None else 0.0)  # (C,)
    scale = float(trace["ln_final.scale"][position, 0])
    through_norm = model.ln_f.weight.detach().double() * direction / scale  # (C,), multiplied with the centred vector
    vectors = torch.stack([part.vector for part in found])  # (parts, C)
    values = (vectors - vectors.mean(-1, keepdim=True)) @ through_norm
    terms = list(zip([part.label for part in found], values.tolist(), strict=True))
    terms.insert(final_bias_at(model.config), (FINAL_BIAS, float(model.ln_f.bias.detach().double() @ direction)))
    logit = float(trace["ln_final.out"][position].double() @ direction)
    return Attribution((token,) if against is None else (token, against), logit, terms)


CANDIDATES = 6
"""Other tokens offered for attribution."""
LEFTOVER_NOTE = "The model's logit − all contributions: rounding error, about 0."
NOTE = (
    "The final norm's scale is frozen at its value here, so that the contributions add up to the logit. "
    "They are direct: what later layers make of a part is counted there, so an ablation of it can have another effect."
)


def attribution(context: StageContext, candidate: int | None = None, against: int | None = None, by_size: bool = True) -> View:
    """Contributions to the logit of `candidate` (the most probable token if None), or to its difference to that of `against`.

    The largest come first, or they stand in the order of the computation.

    Raises:
        UserError: if the vocabulary has no such token.
    """
    token = context.answer if candidate is None else candidate
    for each in (token, against):
        check_token(context, each)
    model, trace, at = context.opened.model, context.trace, context.position
    found = context.traced.get_or_compute("parts", at, lambda: contributors(model, trace, at))
    contributions = attribute(model, trace, at, token, against, found)
    title = f"direct logit attribution: {' vs '.join(_quoted(context, each) for each in contributions.tokens)}"
    parity = Parity("sum of the contributions · model's logit", abs(contributions.leftover), 1, abs(contributions.logit))
    return View(
        "attribution",
        title,
        _sentence(context, contributions),
        [_table(context, contributions, by_size), _candidates(context), Paragraph(NOTE)],
        parity,
    )


def check_token(context: StageContext, token: int | None) -> None:
    """Raises: UserError, if the vocabulary has no such token."""
    if token is not None and not 0 <= token < context.config.vocab_size:
        raise UserError(f"{token} is no token of {context.opened.run.name}: ids are 0 to {context.config.vocab_size - 1}.")


def _quoted(context: StageContext, token: int) -> str:
    return f"“{context.tokenizer.label(token)}”"


def _sentence(context: StageContext, found: Attribution) -> str:
    token, *others = (_quoted(context, each) for each in found.tokens)
    about = f"After {context.here} the logit of {token} is {significant(abs(found.logit) if others else found.logit)}"
    if others:
        about += f" {'above' if found.logit >= 0 else 'below'} that of {others[0]}"
    return f"{about}. Largest contribution: {_most(found, 1)}; most negative: {_most(found, -1)}."


def _most(found: Attribution, sign: int) -> str:
    """The largest contribution of one sign: `layer 4 mlp (+3.21)`."""
    label, value = max(found.contributions, key=lambda each: each[1] * sign)
    return f"{label} ({significant(value, sign=True)})" if value * sign > 0 else "none"


def _switched_off(context: StageContext) -> dict[str, str]:
    """The parts that an intervention has switched off, by their labels."""
    config = context.config
    heads = {
        f"layer {layer + 1} head {head + 1}": context.off("attn.z", head, layer)
        for layer in range(config.layers)
        for head in range(config.heads)
    }
    return heads | {f"layer {layer + 1} mlp": context.off("mlp_out", layer=layer) for layer in range(config.layers)}


def _table(context: StageContext, found: Attribution, by_size: bool) -> Table:
    contributions = list(enumerate(found.contributions))
    if by_size:
        contributions.sort(key=lambda each: -abs(each[1][1]))
    values = [value for _, (_, value) in contributions]
    most = max(map(abs, values)) or 1.0
    decimals = decimals_for(values, found.logit, digits=3)
    places = term_decimals(np.array([*values, found.leftover]), found.logit, decimals)
    off = _switched_off(context)
    family = "logits.contribution.over" if found.tokens[1:] else "logits.contribution"
    rows = []
    for part, (label, value) in contributions:
        name = ref(family, context.position, part, *found.tokens)
        cell = Cell(fixed(value, places, sign=True), value, name, value / most)
        rows.append([context.part_cell(label, off.get(label, "")), cell])
    leftover = fixed(found.leftover, places, sign=True)
    rows.append([Cell("leftover (rounding)", style="dim"), Cell(leftover, found.leftover, note=LEFTOVER_NOTE, style="dim")])
    name = ref("logits.over" if found.tokens[1:] else "logits", context.position, *found.tokens)
    label = "= difference of the logits" if found.tokens[1:] else "= logit"
    total = [Cell(label), Cell(fixed(found.logit, decimals, sign=True), found.logit, name)]
    columns = [Column("part", align="left"), Column("contribution")]
    ends = significant(most)
    listed = "largest first" if by_size else "in order of computation"
    return Table(columns, rows, title=f"{len(contributions)} contributions, {listed}; ▒ −{ends} │ █ +{ends}", total=total)


def _candidates(context: StageContext) -> Table:
    """Tokens to attribute next; each number names its token."""
    probabilities = softmax(context.logits)
    rows = [
        [
            Cell(context.tokenizer.label(id_)),
            Cell(significant(float(context.logits[id_]), 4), float(context.logits[id_]), ref("logits", context.position, id_)),
            Cell(probability(float(probabilities[id_])), float(probabilities[id_]), ref("probability", context.position, id_)),
        ]
        for id_ in largest(context.logits, CANDIDATES)
    ]
    columns = [Column("token", align="left"), Column("logit"), Column("probability")]
    return Table(columns, rows, title="candidates: a attributes the one at the cursor, v compares with it")
