"""Direct logit attribution: how much each part of the model speaks for a token, as numbers that add up to its logit.

The logit is a dot product with the final norm's output, and that norm is linear once its scale is held at the value it has.
So every vector that was written into the residual stream has a share of its own (Elhage et al. 2021, "A Mathematical
Framework for Transformer Circuits"; nostalgebraist 2020 for the lens it generalises).
"""

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


@torch.no_grad()
def attribute(model: GPT, trace: Trace, position: int, token: int, against: int | None = None) -> Attribution:
    """The shares of embeddings, positions, every head, every MLP and every bias in a token's logit after `position`.

    With `against`, in the difference of the two tokens' logits, which what speaks for both alike does not enter.
    """
    embedding = model.wte.weight.detach().double()  # (V, C)
    direction = embedding[token] - (embedding[against] if against is not None else 0.0)  # (C,)
    scale = float(trace["ln_final.scale"][position, 0])
    seen = model.ln_f.weight.detach().double() * direction / scale  # (C,): what a centred vector is multiplied with

    def share(vector: Tensor) -> float:
        vector = vector.double()
        return float((vector - vector.mean()) @ seen)

    shares = [
        Share("token embedding", share(trace["embed"][position])),
        Share("position embedding", share(trace["pos_embed"][position])),
    ]
    for layer in range(model.config.layers):
        block = f"blocks.{layer}."
        attention_bias = model.get_parameter(f"h.{layer}.attn.c_proj.bias")
        mlp_bias = model.get_parameter(f"h.{layer}.mlp.c_proj.bias")
        shares += [
            Share(f"layer {layer + 1} head {head + 1}", share(out), layer)
            for head, out in enumerate(trace.head_out(layer)[:, position])
        ]
        shares.append(Share(f"layer {layer + 1} attention bias", share(attention_bias), layer))
        shares.append(Share(f"layer {layer + 1} mlp", share(trace[f"{block}mlp_out"][position] - mlp_bias), layer))
        shares.append(Share(f"layer {layer + 1} mlp bias", share(mlp_bias), layer))
    shares.append(Share("final norm's bias", float(model.ln_f.bias.detach().double() @ direction)))
    logits = trace["logits"][position]
    logit = float(logits[token]) - (float(logits[against]) if against is not None else 0.0)
    return Attribution(
        token=token, against=against, logit=logit, shares=shares, leftover=logit - sum(each.value for each in shares)
    )
