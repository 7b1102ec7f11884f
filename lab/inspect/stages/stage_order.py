"""The stages of the way through the model, in the order of the computation. Nothing here needs torch or numpy."""

from lab.views.blocks import StageEntry

BEFORE_LAYERS = {"tokens": ("tokens", "tokens"), "embed": ("embedding + position", "embed + position")}
ATTENTION = {
    "ln1": "LayerNorm 1",
    "qkv": "q, k, v",
    "scores": "scores → softmax",
    "matrix": "matrix T×T",
    "heads": "all heads",
    "thumbnails": "layers × heads",
    "values": "values",
    "attn_out": "output projection",
    "resid_mid": "residual add",
}
MLP = {"ln2": "LayerNorm 2", "mlp": "neurons, GELU", "neurons": "strongest neurons", "resid_post": "residual add"}
AFTER_LAYERS = {
    "ln_final": ("final norm", "final norm"),
    "logits": ("logits → softmax", "logits → softmax"),
    "sample": ("sample", "sample"),
    "cache": ("KV cache", "KV cache"),
}
"""Stage: its title, and for those outside the layers the group of the left column that it belongs to."""

STAGES = (*BEFORE_LAYERS, *ATTENTION, *MLP, *AFTER_LAYERS)
IN_LAYERS = (*ATTENTION, *MLP)
"""The stages that every layer has."""
OF_ANY_LAYER = ("cache",)
"""Stages outside the layers that show what belongs to one of them."""


def steps(layers: int) -> list[StageEntry]:
    """Every step of a model with so many layers, in order, the lens left empty."""
    found = [StageEntry(stage, title, group) for stage, (title, group) in BEFORE_LAYERS.items()]
    for layer in range(layers):
        for stages, part in ((ATTENTION, "attention"), (MLP, "mlp")):
            found += [StageEntry(stage, title, f"{layer + 1} {part}", layer) for stage, title in stages.items()]
    return found + [StageEntry(stage, title, group) for stage, (title, group) in AFTER_LAYERS.items()]
