"""The model's own activations, recorded by hooks under the trace's names, for the parity check of the trace."""

from collections.abc import Collection, Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from models.check import alone, check
from models.gpt import GPT


class ParitySite(NamedTuple):
    """The hook of one activation: a module, its input or output (`side`), and for q, k and v which `third` of it."""

    name: str
    module: nn.Module
    side: str
    third: int | None = None


@torch.no_grad()
def fast_tensors(model: GPT, ids: Sequence[int], names: Collection[str] | None = None) -> dict[str, Tensor]:
    """The model's own tensors of one forward pass of ids, by the names and in the shapes of `models.trace`.

    What the fast path never holds (scores, pattern, the norms' scales, `pos_embed`) is not among them; `names` limits what is
    kept.

    Raises:
        ValueError: if the ids are more than the context.
    """
    kept: dict[str, Tensor] = {}
    wanted = [place for place in _places(model) if names is None or place.name in names]
    hooks = [_hook(place, kept, (model.config.heads, model.config.head_width)) for place in wanted]
    hooks += [part.register_forward_pre_hook(lambda *_: check()) for block in model.blocks for part in (block.attn, block.mlp)]
    was_training = model.training
    model.eval()
    try:
        with alone():  # a pass that were let in would call the hooks, too
            x = model.hidden(torch.tensor([list(ids)], device=model.wte.weight.device))
            if names is None or "logits" in names:
                kept["logits"] = model.unembed(x)[0]
    finally:
        model.train(was_training)
        for hook in hooks:
            hook.remove()
    return kept


def _places(model: GPT) -> Iterator[ParitySite]:
    yield ParitySite("embed", model.wte, "out")
    block: Any
    for layer, block in enumerate(model.h):
        prefix = f"blocks.{layer}."
        yield ParitySite(prefix + "resid_pre", block, "in")
        yield ParitySite(prefix + "ln1.out", block.ln_1, "out")
        for third, part in enumerate("qkv"):
            yield ParitySite(f"{prefix}attn.{part}", block.attn.c_attn, "out", third)
        yield ParitySite(prefix + "attn.z", block.attn.c_proj, "in", 0)
        yield ParitySite(prefix + "attn_out", block.attn, "out")
        yield ParitySite(prefix + "resid_mid", block.ln_2, "in")
        yield ParitySite(prefix + "ln2.out", block.ln_2, "out")
        yield ParitySite(prefix + "mlp.pre", block.mlp.c_fc, "out")
        yield ParitySite(prefix + "mlp.post", block.mlp.c_proj, "in")
        yield ParitySite(prefix + "mlp_out", block.mlp, "out")
        yield ParitySite(prefix + "resid_post", block, "out")
    yield ParitySite("ln_final.out", model.ln_f, "out")


def _hook(place: ParitySite, kept: dict[str, Tensor], split: tuple[int, int]) -> torch.utils.hooks.RemovableHandle:
    def keep(value: Tensor) -> None:
        value = value[0]
        if place.third is not None:  # (T, 3*C), or z's (T, C), to (T, H, D)
            value = value.reshape(len(value), -1, *split)[:, place.third]
        kept[place.name] = value

    if place.side == "in":
        return place.module.register_forward_pre_hook(lambda _, inputs: keep(inputs[0]))
    return place.module.register_forward_hook(lambda _, __, output: keep(output))
