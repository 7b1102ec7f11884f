"""The stages of the forward pass in the order of the computation.

To add one, write the function of its view, with its entry (`Stage`) over it, and its name here.
"""

from collections.abc import Mapping

from lab.core.errors import UserError
from lab.inspect.stages.all_heads_stage import heads, thumbnails
from lab.inspect.stages.attention_output_stage import attn_out, values
from lab.inspect.stages.attention_scores_stage import VERY_WIDE, matrix, qkv, scores
from lab.inspect.stages.embedding_stage import embed, tokens
from lab.inspect.stages.embedding_tables_stage import neighbours, positions
from lab.inspect.stages.kv_cache_stage import cache
from lab.inspect.stages.lens_grid_stage import lens
from lab.inspect.stages.logits_stage import likeliest, logits
from lab.inspect.stages.mlp_stage import mlp, neurons
from lab.inspect.stages.residual_stream_stage import ln1, ln2, ln_final, resid_mid, resid_post
from lab.inspect.stages.sampling_stage import sample
from lab.inspect.stages.score_parts_stage import why
from lab.inspect.stages.stage_context import Stage, StageContext
from lab.views.blocks import StageEntry, View

BEFORE_LAYERS = {"tokens": (tokens,), "embed + position": (embed, neighbours, positions)}
"""Stages by the group of the left column that they belong to."""
LAYER = {
    "attention": (ln1, qkv, matrix, scores, why, heads, thumbnails, values, attn_out, resid_mid),
    "mlp": (ln2, mlp, neurons, resid_post),
}
"""Stages of each layer, by its attention and its MLP."""
AFTER_LAYERS = {"final norm": (ln_final,), "logits → softmax": (logits, lens), "sample": (sample,), "KV cache": (cache,)}

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


def stage_view(name: str, context: StageContext) -> View:
    """The view of a stage. Raises: UserError if there is no such stage."""
    if name not in STAGES:
        raise UserError(f"There is no stage called {name}; the stages are {', '.join(STAGES)}.")
    view = STAGES[name].view(context)
    if name == "tokens" and (context.width or 0) >= VERY_WIDE:  # there is room for their way through the model
        embedded, predicted = stage_view("embed", context), stage_view("lens", context)
        view.blocks += [embedded.blocks[0], *predicted.blocks]
        view.fill = likeliest(context)
    return view
