"""Names of numbers. `blocks.0.attn.pattern[2,3,1]` is what the trace calls `blocks.0.attn.pattern`, at head 2, query 3, key 1.

A whole strip or matrix has one name with an open place for each of its own indices: `blocks.0.attn.pattern[2,3,:]` is the row of
that query, `blocks.0.attn.pattern[2,8:,8:]` the window whose first row and column are token 8. `a × b` is a product of two
numbers. Nothing here needs torch.

A value that an intervention changes has a second name, `blocks.0.attn_out.before[...]`: what it was before the change.

Beside the names of the trace, of the model's weights and those that `lab.inspect.explain_number` adds, views name what is
derived from them: `X.norm[...]` for the length of a vector X[...], `ln1.centred` (x − mean),
`attn.shifted`, `logits.shifted` (score − max), `attn.entropy[h,q]` in bits, `attn.weighted_v.norm[h,q,k]`,
`attn.head_out.share[h,t]`, `logits.contribution[t,p,v]` (of part p in the logit of token v),
`logits.contribution.part[t,p,i]` (what arrives of the part),
`logits.contribution.over[t,p,v,w]`,
`logits.over[t,v,w]`, `resid_mid.cosine[t]` (with the stream before), `mlp.neuron_out.norm[t,n]`, `mlp.logit_effect[t,n,v]`,
`wte.cosine[v,w]`, `wte.dot[v,w]`, `wte.norm[v]` (of rows of the token embedding, and `wpe` of the position embedding),
`sample.u[t]`, `sample.after[t,v]`, `sample.low[t,v]`, `sample.high[t,v]`, `tokens[t]`.
"""

import re
from collections.abc import Callable

from models.config import ModelConfig

TOKEN_FAMILIES = (
    *("logits", "logits.shifted", "logits.contribution", "probability", "probability.exp"),
    *("sample.after", "sample.low", "sample.high"),
)
"""Families whose last index is a candidate for the next token."""

TIMES = " × "


def product(left: str, right: str) -> str:
    return left + TIMES + right


def ref(name: str, *indices: int | str) -> str:
    """`name[i,j]`; an index may be an open place, ":" or "8:"."""
    return f"{name}[{','.join(str(index) for index in indices)}]" if indices else name


def split(reference: str) -> tuple[str, list[str]]:
    """The name and its indices as they are written."""
    name, _, inside = reference.partition("[")
    return name, inside.rstrip("]").split(",") if inside else []


def is_token_id(reference: str) -> bool:
    """True if it names the id of a token of the prompt."""
    return split(reference)[0] == "tokens"


def element(reference: str, *indices: int) -> str:
    """The name of one element: `indices` fill the open places in their order, those left over follow at the end.

    `pattern[2,8:,8:]` with 1, 3 is `pattern[2,9,11]`; `embed[4]` with 7 is `embed[4,7]`; "" stays "". Of a product both sides
    are taken at the same place.
    """
    if not reference:
        return ""
    if TIMES in reference:
        return TIMES.join(element(side, *indices) for side in reference.split(TIMES))
    name, places = split(reference)
    rest = list(indices)
    filled = [int(place.rstrip(":") or 0) + rest.pop(0) if place.endswith(":") and rest else place for place in places]
    return ref(name, *filled, *rest)


def open_ref(first: str, second: str) -> str:
    """The name of a vector by those of its numbers 0 and 1: `weight[3,:]` for `weight[3,0]` and `weight[3,1]`."""
    name, indices = split(first)
    return ref(name, *(":" if one != other else one for one, other in zip(indices, split(second)[1], strict=True)))


def next_token(reference: str) -> int | None:
    """The token that a number of the prediction is about, None for any other number: 7 for `logits[4,7]`."""
    name, indices = split(reference)
    return int(indices[-1]) if name in TOKEN_FAMILIES else None


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
