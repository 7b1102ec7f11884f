"""The stages of the forward pass in the order of the computation, each with its view.

To add one, write the function of its view and a line here.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from lab.core.errors import UserError
from lab.inspect.stages import (
    all_heads_stage,
    attention_output_stage,
    attention_scores_stage,
    embedding_stage,
    embedding_tables_stage,
    kv_cache_stage,
    layer_norm_stage,
    lens_grid_stage,
    logits_stage,
    mlp_stage,
    residual_stream_stage,
    sampling_stage,
)
from lab.inspect.stages.stage_context import StageContext
from lab.views.blocks import StageEntry, View
from models.unembed import Slices


@dataclass(frozen=True)
class Stage:
    name: str
    title: str
    view: Callable[[StageContext], View | Slices[View]]
    """Incremental for a view of all layers."""
    computes: str = ""
    """Value of the layer that the stage computes and an intervention may replace, by its name in the trace."""
    reads: str = ""
    """Value of the layer that the stage starts from, as an intervention has left it."""


BEFORE_LAYERS = {
    "tokens": (Stage("tokens", "tokens", embedding_stage.tokens),),
    "embed + position": (
        Stage("embed", "embedding + position", embedding_stage.embed, computes="resid_pre"),
        Stage("neighbours", "nearest tokens", embedding_tables_stage.neighbours),
        Stage("positions", "position embeddings", embedding_tables_stage.positions),
    ),
}
"""Stages by the group of the left column that they belong to."""
LAYER = {
    "attention": (
        Stage("ln1", "LayerNorm 1", layer_norm_stage.ln1, reads="resid_pre"),
        Stage("qkv", "q, k, v", attention_scores_stage.qkv),
        Stage("matrix", "attention pattern", attention_scores_stage.matrix, computes="attn.pattern", reads="attn.attn_scores"),
        Stage("scores", "scores → softmax", attention_scores_stage.scores, computes="attn.pattern", reads="attn.attn_scores"),
        Stage("heads", "all heads", all_heads_stage.heads, computes="attn.z"),
        Stage("thumbnails", "layers × heads", all_heads_stage.thumbnails),
        Stage("values", "values", attention_output_stage.values, computes="attn.z"),
        Stage("attn_out", "output projection", attention_output_stage.attn_out, computes="attn_out"),
        Stage("resid_mid", "residual add", residual_stream_stage.resid_mid, computes="resid_mid"),
    ),
    "mlp": (
        Stage("ln2", "LayerNorm 2", layer_norm_stage.ln2),
        Stage("mlp", "neurons, GELU", mlp_stage.mlp, computes="mlp_out"),
        Stage("neurons", "strongest neurons", mlp_stage.neurons, computes="mlp_out"),
        Stage("resid_post", "residual add", residual_stream_stage.resid_post, computes="resid_post"),
    ),
}
"""The same of every layer."""
AFTER_LAYERS = {
    "final norm": (Stage("ln_final", "final norm", layer_norm_stage.ln_final),),
    "logits → softmax": (
        Stage("logits", "logits → softmax", logits_stage.logits),
        Stage("lens", "logit lens grid", lens_grid_stage.lens_grid),
    ),
    "sample": (Stage("sample", "sample", sampling_stage.sample),),
    "KV cache": (Stage("cache", "KV cache", kv_cache_stage.cache),),
}

STAGES = {stage.name: stage for groups in (BEFORE_LAYERS, LAYER, AFTER_LAYERS) for stages in groups.values() for stage in stages}
IN_LAYERS = tuple(stage.name for stages in LAYER.values() for stage in stages)
"""Names of the stages that every layer has."""
OF_ANY_LAYER = ("cache",)
"""Stages outside the layers that show what belongs to one of them."""


def stage_entries(layers: int) -> list[StageEntry]:
    """Every stage of a model with so many layers, in order, the logit lens left empty."""
    return [
        *_entries(BEFORE_LAYERS),
        *(entry for layer in range(layers) for entry in _entries(LAYER, layer)),
        *_entries(AFTER_LAYERS),
    ]


def _entries(groups: Mapping[str, tuple[Stage, ...]], layer: int | None = None) -> list[StageEntry]:
    prefix = "" if layer is None else f"{layer + 1} "
    return [StageEntry(stage.name, stage.title, prefix + group, layer) for group, stages in groups.items() for stage in stages]


def stage_view(name: str, context: StageContext) -> Slices[View]:
    """The view of a stage, one layer per slice where it needs all of them. Raises: UserError if there is no such stage."""
    if name not in STAGES:
        raise UserError(f"There is no stage called {name}; the stages are {', '.join(STAGES)}.")
    shown = STAGES[name].view(context)
    return shown if isinstance(shown, View) else (yield from shown)
