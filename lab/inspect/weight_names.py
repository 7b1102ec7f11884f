"""Names of single weights in words. Nothing here needs torch."""

import re
from collections.abc import Callable

from models.config import ModelConfig

_IN_LAYER = re.compile(r"h\.(\d+)\.(.+)")
_LETTERS = (("W_Q", "query"), ("W_K", "key"), ("W_V", "value"))


def describe_weight(name: str, index: tuple[int, ...], config: ModelConfig, label: Callable[[int], str]) -> str:
    """`W_K, layer 1, head 2: dimension 3 of the stream → dimension 5 of the key`.

    `name` is the parameter's name in GPT-2's naming, `index` its 0-based indices, `label` a token id's printable text.
    """
    last = index[-1] + 1
    if name == "wte.weight":
        return f"token embedding of “{label(index[0])}”, dimension {last}"
    if name == "wpe.weight":
        return f"position embedding {index[0] + 1}, dimension {last}"
    if name.startswith("ln_f."):
        return f"{_norm_part(name)} of the final norm, dimension {last}"
    match = _IN_LAYER.fullmatch(name)
    assert match, name
    layer, rest = f"layer {int(match[1]) + 1}", match[2]
    if rest.startswith("ln_"):
        return f"{_norm_part(rest)} of LayerNorm {rest[3]}, {layer}, dimension {last}"
    if rest.startswith("attn.c_attn."):
        third, inside = divmod(index[0], config.width)
        head, d = divmod(inside, config.head_width)
        letter, what = _LETTERS[third]
        to = f"dimension {d + 1} of the {what}"
        if rest.endswith("bias"):
            return f"bias of {letter}, {layer}, head {head + 1}: {to}"
        return f"{letter}, {layer}, head {head + 1}: dimension {last} → {to}"
    if rest == "attn.c_proj.weight":
        head, d = divmod(index[1], config.head_width)
        return f"W_O, {layer}, head {head + 1}: dimension {d + 1} → dimension {index[0] + 1} of the stream"
    return {
        "attn.c_proj.bias": f"bias of the attention output, {layer}, dimension {last}",
        "mlp.c_fc.weight": f"W_in, {layer}: dimension {last} → neuron {index[0] + 1}",
        "mlp.c_fc.bias": f"bias of neuron {last}, {layer}",
        "mlp.c_proj.weight": f"W_out, {layer}: neuron {last} → dimension {index[0] + 1} of the stream",
        "mlp.c_proj.bias": f"bias of the MLP output, {layer}, dimension {last}",
    }[rest]


def short_weight(name: str, index: tuple[int, ...], config: ModelConfig, label: Callable[[int], str]) -> str:
    """`W_K: stream 3 → key 5`: the same in few words, where layer and head are known."""
    match = _IN_LAYER.fullmatch(name)
    if match is None or not name.endswith("weight") or len(index) < 2:
        return describe_weight(name, index, config, label)
    row, column = index
    if match[2] == "attn.c_attn.weight":
        third, inside = divmod(row, config.width)
        letter, what = _LETTERS[third]
        return f"{letter}: stream {column + 1} → {what} {inside % config.head_width + 1}"
    if match[2] == "attn.c_proj.weight":
        return f"W_O: z {column % config.head_width + 1} → stream {row + 1}"
    into = match[2] == "mlp.c_fc.weight"
    return f"W_in: stream {column + 1} → neuron {row + 1}" if into else f"W_out: neuron {column + 1} → stream {row + 1}"


def _norm_part(name: str) -> str:
    return "gain" if name.endswith("weight") else "bias"
