"""GPT: the whole forward pass, from ids to logits."""

from collections.abc import Mapping
from functools import partial

import torch
from torch import Tensor

from lab.exercises.exercise import Case, Function
from lab.exercises.material import Material
from lab.exercises.tasks.attention import attention
from lab.exercises.tasks.embed import embed
from lab.exercises.tasks.layer_norm import layer_norm
from lab.exercises.tasks.mlp import mlp

Weights = dict[str, Tensor]


def gpt(ids: Tensor, weights: Weights, heads: int) -> Tensor:
    return by("", ids, weights, heads)


PARTS: Mapping[str, Function] = {"embed": embed, "layer_norm": layer_norm, "attention": attention, "mlp": mlp}


def by(mistake: str, ids: Tensor, weights: Weights, heads: int, parts: Mapping[str, Function] = PARTS) -> Tensor:
    """The logits by these functions, with that mistake; "" is none."""
    embed, layer_norm, attention, mlp = (parts[name] for name in PARTS)

    def of(name: str) -> tuple[Tensor, Tensor]:
        return weights[f"{name}.weight"], weights[f"{name}.bias"]

    layers = sum(name.endswith("ln_1.weight") for name in weights)
    x = embed(ids, weights["wte.weight"], weights["wpe.weight"])
    for layer in range(layers - (mistake == "layer")):
        at = f"h.{0 if mistake == 'same' else layer}"
        before = x
        inner = x if mistake == "no norm" else layer_norm(x, *of(f"{at}.ln_1"))
        attended = attention(inner, *of(f"{at}.attn.c_attn"), *of(f"{at}.attn.c_proj"), heads)
        x = attended if mistake == "replaced" else x + attended
        if mistake == "post":
            x = layer_norm(x, *of(f"{at}.ln_1"))
        source = before if mistake == "parallel" else x
        norm = of(f"{at}.ln_1") if mistake == "one norm" else of(f"{at}.ln_2")
        inner = source if mistake in ("no norm", "no second norm") else layer_norm(source, *norm)
        x = x * (mistake != "MLP replaces") + mlp(inner, *of(f"{at}.mlp.c_fc"), *of(f"{at}.mlp.c_proj"))
    x = x if mistake == "end" else layer_norm(x, *of("ln_f"))
    logits: Tensor = x @ weights["wte.weight"].T
    return torch.softmax(logits, -1) if mistake == "softmax" else logits


def cases(material: Material) -> list[Case]:
    return [
        Case("your prompt", (torch.tensor(material.ids), material.weights, material.heads)),
        Case("one token", (torch.tensor(material.ids[:1]), material.weights, material.heads)),
        Case("a full context", (torch.tensor(material.full), material.weights, material.heads)),
    ]


WRONG = {
    "The final LayerNorm is missing.": partial(by, "end"),
    "LayerNorm comes after attention; GPT-2 has it before.": partial(by, "post"),
    "There is no LayerNorm in the layers.": partial(by, "no norm"),
    "The second LayerNorm, ln_2 before the MLP, is missing.": partial(by, "no second norm"),
    "The MLP replaces the stream; it is added to it.": partial(by, "MLP replaces"),
    "Attention replaces the stream; it is added to it.": partial(by, "replaced"),
    "The MLP reads the stream from before attention; it has to read the stream after it.": partial(by, "parallel"),
    "Both norms of a layer have ln_1's weights.": partial(by, "one norm"),
    "The last layer is missing.": partial(by, "layer"),
    "Every layer has the weights of layer 0.": partial(by, "same"),
    "Probabilities are returned; logits are asked for.": partial(by, "softmax"),
}
