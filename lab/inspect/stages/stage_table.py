"""One view for each stage."""

from collections.abc import Callable

from lab.core.errors import UserError
from lab.inspect.stages import (
    all_heads_stage,
    attention_stage,
    embedding_stage,
    head_output_stage,
    kv_cache_stage,
    layer_norm_stage,
    logits_stage,
    mlp_stage,
    residual_stream_stage,
    sampling_stage,
)
from lab.inspect.stages.stage_context import StageContext
from lab.inspect.stages.stage_order import STAGES
from lab.views.blocks import View
from models.unembed import Slices, finish

VIEWS: dict[str, Callable[[StageContext], View]] = {
    "tokens": embedding_stage.tokens,
    "embed": embedding_stage.embed,
    "ln1": layer_norm_stage.ln1,
    "qkv": attention_stage.qkv,
    "scores": attention_stage.scores,
    "matrix": attention_stage.matrix,
    "heads": head_output_stage.heads,
    "values": head_output_stage.values,
    "attn_out": head_output_stage.attn_out,
    "resid_mid": residual_stream_stage.resid_mid,
    "ln2": layer_norm_stage.ln2,
    "mlp": mlp_stage.mlp,
    "neurons": mlp_stage.neurons,
    "resid_post": residual_stream_stage.resid_post,
    "ln_final": layer_norm_stage.ln_final,
    "logits": logits_stage.logits,
    "sample": sampling_stage.sample,
    "cache": kv_cache_stage.cache,
}


LONG: dict[str, Callable[[StageContext], Slices[View]]] = {"thumbnails": all_heads_stage.thumbnails}
"""Those that go through all layers."""


def show(stage: str, look: StageContext) -> View:
    """The view of a stage. Raises: UserError if there is no such stage."""
    return finish(show_incrementally(stage, look))


def show_incrementally(stage: str, look: StageContext) -> Slices[View]:
    """The same, a layer a slice where it goes through all of them."""
    if stage in LONG:
        return (yield from LONG[stage](look))
    if stage not in VIEWS:
        raise UserError(f"There is no stage called {stage}; the stages are {', '.join(STAGES)}.")
    return VIEWS[stage](look)
