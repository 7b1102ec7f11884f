"""Trace of a forward pass: every intermediate value by name, written out formula by formula; and the model's own, for parity.

Names, values and shapes are TransformerLens's, without `hook_` and without the batch dimension. Not in TransformerLens
are `scores_raw` and, before its version 4, `out`.
T tokens, C width, H heads, D = C / H, V vocabulary; N is a layer from 0.

    embed, pos_embed                         (T, C)     the token's and the position's own vector
    blocks.N.resid_pre                       (T, C)     the residual stream that enters; for layer 0 the sum of the two above
    blocks.N.ln1.scale                       (T, 1)     sqrt(variance + eps), which the centred stream is divided by
    blocks.N.ln1.normalized                  (T, C)     the centred stream / scale, before gain and bias
    blocks.N.ln1.out                         (T, C)     normalized · gain + bias, which attention reads
    blocks.N.attn.q, .k, .v                  (T, H, D)
    blocks.N.attn.scores_raw                 (H, T, T)  q·k, neither scaled nor masked; row = query, column = key
    blocks.N.attn.attn_scores                (H, T, T)  q·k / sqrt(D), -inf where the key comes after the query
    blocks.N.attn.pattern                    (H, T, T)  softmax over the keys
    blocks.N.attn.z                          (T, H, D)  values weighted by the pattern
    blocks.N.attn_out                        (T, C)     heads mixed by the output matrix, its bias included
    blocks.N.resid_mid                       (T, C)     resid_pre + attn_out
    blocks.N.ln2.scale, .normalized, .out    (T, 1), (T, C), (T, C)
    blocks.N.mlp.pre, .post                  (T, 4C)    before and after GELU
    blocks.N.mlp_out                         (T, C)     bias included
    blocks.N.resid_post                      (T, C)     resid_mid + mlp_out
    ln_final.scale, .normalized, .out        (T, 1), (T, C), (T, C)
    logits                                   (T, V)

An edited value has two names: the plain one after the edit, and with `.before` as computed before it.
"""

import math
import re
from collections import OrderedDict
from collections.abc import Callable, Collection, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.attention_kernels import causal_mask
from models.check import alone, check
from models.gelu import gelu
from models.gpt import EPSILON, GPT, in_evaluation
from models.trace_edits import Edit

STREAMS = ("resid_pre", "resid_mid", "resid_post")
LAYER_NAMES = (
    "resid_pre", "ln1.scale", "ln1.normalized", "ln1.out", "attn.q", "attn.k", "attn.v", "attn.scores_raw", "attn.attn_scores",
    "attn.pattern", "attn.z", "attn_out", "resid_mid", "ln2.scale", "ln2.normalized", "ln2.out", "mlp.pre", "mlp.post",
    "mlp_out", "resid_post",
)  # fmt: skip
"""Values of a layer in the order of computation, each under `blocks.N.`."""

END_NAMES = ("ln_final.scale", "ln_final.normalized", "ln_final.out", "logits")
BY_HEAD = ("attn.q", "attn.k", "attn.v", "attn.z")
"""Returned as (T, H, D), as in TransformerLens; computed as (H, T, D)."""
BEFORE = ".before"

KEPT = 4_000_000
"""Numbers of layers' insides that a trace keeps: of GPT-2's three layers with 64 tokens."""

_IN_LAYER = re.compile(r"blocks\.(\d+)\.(.+)")


class Trace:
    """The forward pass of `ids` through `model`, in fp32 and without the model's own code, with `edits` applied.

    Computed at once: the residual streams of all layers. Computed on access: the inside of a layer (those accessed last are
    kept, as many as fit KEPT, and `kept_layers` in any case), the final norm, the logits. The model's weights must not change
    while the trace is in use. No gradients, no dropout.

    Raises:
        ValueError: if there are no ids, more of them than the context, or an edit that cannot be made.
    """

    def __init__(self, model: GPT, ids: Sequence[int], edits: Sequence[Edit] = (), *, at_once: bool = True) -> None:
        """Unless `at_once`, without any layer yet: `advance` computes one after the other."""
        self.config = model.config
        self.ids = list(ids)
        self.edits = tuple(edits)
        if not 1 <= len(self.ids) <= self.config.context:
            raise ValueError(f"a trace needs from 1 to {self.config.context} tokens, not {len(self.ids)}.")
        for edit in self.edits:
            edit.check(self.config, len(self.ids))
        self._model = model
        self._embedding = model.wte.weight.detach().float()  # (V, C)
        self._mask = torch.full((len(self.ids),) * 2, -math.inf, device=self._embedding.device).triu(1)  # (T, T), else 0
        self._streams: dict[str, Tensor] = {}
        self._insides: OrderedDict[int, dict[str, Tensor]] = OrderedDict()
        self.kept_layers = 1
        """Layers whose insides are kept, however large they are."""
        self._end: dict[str, Tensor] = {}
        self._layers = 0
        """Number of layers whose residual streams are computed."""
        self._streams["embed"] = self._embedding[self.ids]
        self._streams["pos_embed"] = model.wpe.weight.detach().float()[: len(self.ids)]
        while at_once and self.advance():
            check()

    @torch.no_grad()
    def advance(self) -> bool:
        """Compute the residual streams of the next layer; False, and nothing is done, where all are computed."""
        layer = self._layers
        if layer == self.config.layers:
            return False
        before = self._streams[f"blocks.{layer - 1}.resid_post"] if layer else self._streams["embed"] + self._streams["pos_embed"]
        entering: dict[str, Tensor] = {}
        values = self._layer(layer, self._edited(layer, "resid_pre", before, entering)) | entering
        self._streams |= {f"blocks.{layer}.{name}": values[name] for name in values if name.removesuffix(BEFORE) in STREAMS}
        self._layers += 1
        return True

    def names(self) -> list[str]:
        """Every name of the trace, in the order of computation."""
        inner = [f"blocks.{layer}.{name}" for layer in range(self.config.layers) for name in LAYER_NAMES]
        return ["embed", "pos_embed", *inner, *END_NAMES]

    def is_edited(self, name: str) -> bool:
        """True if an edit changes the value called `name`, so that there is a `name.before`."""
        return any(edit.name == name for edit in self.edits)

    @torch.no_grad()
    def __getitem__(self, name: str) -> Tensor:
        """The value called `name`; not to be written to. Raises KeyError if the model has no such value."""
        if name in self._streams:
            return self._streams[name]
        match = _IN_LAYER.fullmatch(name)
        if match and match[2].removesuffix(BEFORE) in LAYER_NAMES and int(match[1]) < self.config.layers:
            value = self._inside_of(int(match[1]))[match[2]]
            return value.transpose(0, 1) if match[2].removesuffix(BEFORE) in BY_HEAD else value
        if name in END_NAMES and name not in self._end:
            last = self._streams[f"blocks.{self.config.layers - 1}.resid_post"]
            if name == "logits":
                self._end[name] = functional.linear(self["ln_final.out"], self._embedding)
            elif name == "ln_final.out":
                self._end[name] = layer_norm(last, self._model.ln_f)
            else:
                self._end["ln_final.scale"], self._end["ln_final.normalized"] = scale_and_normalized(last)
        return self._end[name]

    @torch.no_grad()
    def lens(self, name: str, positions: Sequence[int] | None = None) -> Tensor:
        """Logit lens: the logits if the model stopped at the residual stream `name` (nostalgebraist 2020).

        The final norm is computed anew for that stream, then the output head: (positions, V), or (T, V) if `positions` is None.
        Of the last `resid_post` these are the logits. Raises KeyError if `name` is no residual stream.
        """
        if name.rpartition(".")[2] not in STREAMS:
            raise KeyError(name)
        stream = self._streams[name]
        stream = stream if positions is None else stream[list(positions)]
        return layer_norm(stream, self._model.ln_f) @ self._embedding.T

    @torch.no_grad()
    def head_out(self, layer: int, positions: Sequence[int] | None = None) -> Tensor:
        """The term that each head adds to the residual stream, (H, positions, C) in float64: its z times its rows of W_O.

        Summed over the heads, and with the output bias, this is `attn_out` (unless that itself was edited).
        """
        heads, width = self.config.heads, self.config.head_width
        output = self._model.blocks[layer].attn.c_proj.weight.detach().double()  # (C, H*D)
        z = self._inside_of(layer)["attn.z"]  # (H, T, D)
        z = z if positions is None else z[:, list(positions)]
        return z.double() @ output.T.view(heads, width, -1)  # (H, n, D) @ (H, D, C)

    @torch.no_grad()
    def pattern_and_values(self, layer: int) -> tuple[Tensor, Tensor]:
        """Pattern (H, T, T) and values (H, T, D) of a layer, without computing the rest of it or releasing another layer."""
        made = self._insides.get(layer) or self._attention(layer, self._streams[f"blocks.{layer}.resid_pre"])
        return made["attn.pattern"], made["attn.v"]

    def release(self) -> None:
        """Release the insides of the kept layers; they are computed again on access."""
        self._insides.clear()

    def _inside_of(self, layer: int) -> dict[str, Tensor]:
        if layer not in self._insides:
            size = sum(value.numel() for value in next(iter(self._insides.values()), {}).values())
            while len(self._insides) >= self.kept_layers and (len(self._insides) + 1) * size > KEPT:
                self._insides.popitem(last=False)  # release an old layer before computing the new one
            made = self._layer(layer, self._streams[f"blocks.{layer}.resid_pre"])
            for norm, stream in (("ln1", "resid_pre"), ("ln2", "resid_mid")):
                made[f"{norm}.scale"], made[f"{norm}.normalized"] = scale_and_normalized(made[stream])
            self._insides[layer] = made
        self._insides.move_to_end(layer)
        return self._insides[layer]

    def _layer(self, layer: int, resid_pre: Tensor) -> dict[str, Tensor]:
        """All of LAYER_NAMES but the norms' scale and normalized, from the (edited) residual stream (T, C) that enters."""
        block = self._model.blocks[layer]
        heads, width, tokens = self.config.heads, self.config.head_width, len(self.ids)
        made = self._attention(layer, resid_pre)
        made["attn.z"] = self._edited(layer, "attn.z", made["attn.pattern"] @ made["attn.v"], made)  # (H, T, D)
        mixed = linear(made["attn.z"].transpose(0, 1).reshape(tokens, heads * width), block.attn.c_proj)
        made["attn_out"] = self._edited(layer, "attn_out", mixed, made)
        made["resid_mid"] = self._edited(layer, "resid_mid", resid_pre + made["attn_out"], made)

        made["ln2.out"] = layer_norm(made["resid_mid"], block.ln_2)
        made["mlp.pre"] = linear(made["ln2.out"], block.mlp.c_fc)  # (T, 4*C)
        made["mlp.post"] = gelu(made["mlp.pre"])
        made["mlp_out"] = self._edited(layer, "mlp_out", linear(made["mlp.post"], block.mlp.c_proj), made)
        made["resid_post"] = self._edited(layer, "resid_post", made["resid_mid"] + made["mlp_out"], made)
        return made

    def _attention(self, layer: int, resid_pre: Tensor) -> dict[str, Tensor]:
        """Values of LAYER_NAMES up to the pattern, but the scale and normalized."""
        block = self._model.blocks[layer]
        heads, width, tokens = self.config.heads, self.config.head_width, len(self.ids)
        made = {"resid_pre": resid_pre}

        made["ln1.out"] = layer_norm(resid_pre, block.ln_1)
        qkv = linear(made["ln1.out"], block.attn.c_attn)  # (T, 3*C)
        q, k, v = qkv.view(tokens, 3, heads, width).permute(1, 2, 0, 3).unbind()  # each (H, T, D)
        made |= {"attn.q": q, "attn.k": k, "attn.v": v}
        made["attn.scores_raw"] = q @ k.transpose(1, 2)  # (H, T, T)
        scores = (made["attn.scores_raw"] / math.sqrt(width)).add_(self._mask)
        made["attn.attn_scores"] = self._edited(layer, "attn.attn_scores", scores, made)
        made["attn.pattern"] = self._edited(layer, "attn.pattern", made["attn.attn_scores"].softmax(-1), made)
        return made

    def _edited(self, layer: int, name: str, value: Tensor, made: dict[str, Tensor]) -> Tensor:
        """The value with its edits applied; if there are any, `made` gets the value before them."""
        for edit in self.edits:
            if edit.name == f"blocks.{layer}.{name}":
                made.setdefault(name + BEFORE, value)
                value = apply(edit, value)
        return value


def scale_and_normalized(x: Tensor) -> tuple[Tensor, Tensor]:
    """A LayerNorm (Ba et al. 2016) up to its gain and bias: sqrt(variance + eps), (T, 1), and (x − mean) / that, (T, C)."""
    scale = (x.var(-1, correction=0, keepdim=True) + EPSILON).sqrt()
    return scale, (x - x.mean(-1, keepdim=True)) / scale


def layer_norm(x: Tensor, norm: nn.LayerNorm) -> Tensor:
    """(x − mean) / scale · gain + bias, (T, C)."""
    return functional.layer_norm(x, x.shape[-1:], norm.weight.detach().float(), norm.bias.detach().float(), EPSILON)


def linear(x: Tensor, layer: nn.Linear) -> Tensor:
    """x W + b, W being the transpose of the weight as it is stored."""
    return functional.linear(x, layer.weight.float(), layer.bias.float())


def apply(edit: Edit, value: Tensor) -> Tensor:
    """A copy of `value`, (T, C) or by head (H, T, ·), with the edit applied; see `models.trace_edits`."""
    result = value.clone()
    rows = slice(None) if edit.position is None else slice(edit.position, edit.position + 1)
    heads = slice(None) if edit.head is None else slice(edit.head, edit.head + 1)
    place = (heads, rows) if value.dim() == 3 else (rows,)
    if edit.action == "scale":
        result[place] *= edit.scale
    elif edit.action == "mean":
        result[place] = value.mean(-2, keepdim=True)[place[:-1]]
    elif edit.action == "patch":
        result[place] = torch.tensor(edit.value, dtype=value.dtype, device=value.device)
    elif edit.action in ("add", "project"):
        vector = torch.tensor(edit.value, dtype=value.dtype, device=value.device)
        result[place] += edit.scale * vector if edit.action == "add" else -(value[place] @ vector)[..., None] * vector
    elif edit.action == "hide" and edit.key is not None:
        result[heads, slice(max(edit.key + 1, rows.start or 0), rows.stop), edit.key] = -math.inf
    elif edit.key is not None:
        able = slice(max(edit.key, rows.start or 0), rows.stop)
        result[heads, able] = 0.0
        result[heads, able, edit.key] = 1.0
    return result


@torch.inference_mode()
def hidden_with_patterns(model: GPT, ids: Tensor, each: Callable[[int, Tensor], None]) -> Tensor:
    """The residual stream after the final norm, (B, T, C), of ids (B, T). `each` gets each layer and its pattern (B, H, T, T).

    In evaluation mode and in the weights' own precision; the model is left in the mode that it was in. Draws no random numbers.
    """
    heads, width = model.config.heads, model.config.head_width
    batch, tokens = ids.shape

    def keep(layer: int) -> Callable[[Any, Any, Tensor], None]:
        def hook(_: Any, __: Any, qkv: Tensor) -> None:
            q, k, _ = qkv.view(batch, tokens, 3, heads, width).permute(2, 0, 3, 1, 4).unbind()  # each (B, H, T, D)
            scores = q @ k.transpose(-1, -2) / math.sqrt(width) + causal_mask(tokens, tokens, q)  # (B, H, T, T)
            each(layer, scores.softmax(-1))

        return hook

    hooks = [block.attn.c_attn.register_forward_hook(keep(layer)) for layer, block in enumerate(model.blocks)]
    with in_evaluation(model, hooks):
        return model.hidden(ids)


INPUTS = {"resid_pre": "", "attn.z": "attn.c_proj", "resid_mid": "ln_2", "mlp.post": "mlp.c_proj"}
OUTPUTS = {"ln1.out": "ln_1", "attn_out": "attn", "ln2.out": "ln_2", "mlp.pre": "mlp.c_fc", "mlp_out": "mlp", "resid_post": ""}
"""The module of a block whose input or output is the value of this name; "" is the block itself."""


@torch.no_grad()
def fast_tensors(model: GPT, ids: Sequence[int], names: Collection[str] | None = None) -> dict[str, Tensor]:
    """The model's own tensors of one forward pass of ids, by the names and in the shapes of `models.trace`.

    What the fast path never holds (scores, pattern, the norms' scales, `pos_embed`) is not among them; `names` limits what is
    kept.

    Raises:
        ValueError: if the ids are more than the context.
    """
    kept, by_head = dict[str, Tensor](), (model.config.heads, model.config.head_width)
    hooks = [part.register_forward_pre_hook(lambda *_: check()) for block in model.blocks for part in (block.attn, block.mlp)]

    def watch(name: str, module: nn.Module, *, output: bool = True, third: int | None = None) -> None:
        def keep(value: Tensor) -> None:
            # z's (T, C), and for q, k and v (T, 3*C), to (T, H, D)
            kept[name] = value if third is None else value.reshape(len(value), -1, *by_head)[:, third]

        if names is not None and name not in names:
            return
        if output:
            hooks.append(module.register_forward_hook(lambda _, __, value: keep(value[0])))
        else:
            hooks.append(module.register_forward_pre_hook(lambda _, inputs: keep(inputs[0][0])))

    watch("embed", model.wte)
    for layer, block in enumerate(model.blocks):
        for name, module in INPUTS.items():
            watch(f"blocks.{layer}.{name}", block.get_submodule(module), output=False, third=0 if name == "attn.z" else None)
        for name, module in OUTPUTS.items():
            watch(f"blocks.{layer}.{name}", block.get_submodule(module))
        for third, part in enumerate("qkv"):
            watch(f"blocks.{layer}.attn.{part}", block.attn.c_attn, third=third)
    watch("ln_final.out", model.ln_f)
    with in_evaluation(model, hooks), alone():  # a pass that were let in would call the hooks, too
        x = model.hidden(torch.tensor([list(ids)], device=model.wte.weight.device))
        if names is None or "logits" in names:
            kept["logits"] = model.unembed(x)[0]
    return kept
