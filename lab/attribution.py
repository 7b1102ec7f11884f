"""Direct logit attribution: how much each part of the model speaks for a token, as numbers that add up to its logit.

The logit is a dot product with the final norm's output, and that norm is linear once its scale is held at the value it has.
So every vector that was written into the residual stream has a share of its own (Elhage et al. 2021, "A Mathematical
Framework for Transformer Circuits"; nostalgebraist 2020 for the lens it generalises).
"""

from dataclasses import dataclass

import msgspec
import torch
from torch import Tensor

from models.gpt import GPT
from models.trace import Trace


class Share(msgspec.Struct):
    """What one part adds to the logit (or to the difference of two logits)."""

    label: str
    value: float
    layer: int | None = None
    """0-based; None for the embeddings and the final norm's bias."""


class Attribution(msgspec.Struct, kw_only=True):
    """Shares in the order of the computation; with `leftover` they add up to `logit`."""

    token: int
    against: int | None
    logit: float
    """The token's logit, or how far it is above that of `against`."""
    shares: list[Share]
    leftover: float
    """What rounding leaves: about 0, unless an intervention replaced the residual stream itself."""


@dataclass(frozen=True)
class Parts:
    """Every vector that was written into the residual stream at a position, in the order of the computation."""

    labels: list[str]
    layers: list[int | None]
    vectors: Tensor
    """(parts, C), float64."""


@torch.no_grad()
def parts(model: GPT, trace: Trace, position: int) -> Parts:
    """What embeddings, every head, every MLP and every bias wrote into the residual stream; the same for all tokens.

    Looks into every layer, which costs about one forward pass.
    """
    heads, width = model.config.heads, model.config.head_width
    written: list[tuple[str, int | None, Tensor]] = [
        ("token embedding", None, trace["embed"][position]),
        ("position embedding", None, trace["pos_embed"][position]),
    ]
    for layer in range(model.config.layers):
        block, place = f"blocks.{layer}.", f"layer {layer + 1}"
        z = trace[f"{block}attn.z"][position].double()  # (H, D)
        output = model.get_parameter(f"h.{layer}.attn.c_proj.weight").double().T.view(heads, width, -1)  # (H, D, C)
        mlp_bias = model.get_parameter(f"h.{layer}.mlp.c_proj.bias")
        written += [(f"{place} head {head + 1}", layer, z[head] @ output[head]) for head in range(heads)]
        written.append((f"{place} attention bias", layer, model.get_parameter(f"h.{layer}.attn.c_proj.bias")))
        written.append((f"{place} mlp", layer, trace[f"{block}mlp_out"][position].double() - mlp_bias))
        written.append((f"{place} mlp bias", layer, mlp_bias))
    vectors = torch.stack([vector.detach().double() for _, _, vector in written])
    return Parts([label for label, _, _ in written], [layer for _, layer, _ in written], vectors)


@torch.no_grad()
def attribute(
    model: GPT, trace: Trace, position: int, token: int, against: int | None = None, found: Parts | None = None
) -> Attribution:
    """The shares of embeddings, positions, every head, every MLP and every bias in a token's logit after `position`.

    With `against`, in the difference of the two tokens' logits, which what speaks for both alike does not enter. `found` saves
    looking for the position's parts once more.
    """
    found = parts(model, trace, position) if found is None else found
    embedding = model.wte.weight.detach()  # (V, C)
    direction = embedding[token].double() - (embedding[against].double() if against is not None else 0.0)  # (C,)
    scale = float(trace["ln_final.scale"][position, 0])
    seen = model.ln_f.weight.detach().double() * direction / scale  # (C,): what a centred vector is multiplied with
    values = (found.vectors - found.vectors.mean(-1, keepdim=True)) @ seen
    shares = [Share(label, float(value), layer) for label, value, layer in zip(found.labels, values, found.layers, strict=True)]
    shares.append(Share("final norm's bias", float(model.ln_f.bias.detach().double() @ direction)))
    logit = float(trace["ln_final.out"][position].double() @ direction)
    return Attribution(
        token=token, against=against, logit=logit, shares=shares, leftover=logit - sum(each.value for each in shares)
    )
