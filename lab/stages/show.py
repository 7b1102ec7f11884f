"""One view for each stage."""

from collections.abc import Callable

from lab.errors import UserError
from lab.stages import attention, cache, draws, embedding, heads, mlp, norms, output, residual
from lab.stages.look import Look
from lab.stages.order import STAGES
from lab.views import View

VIEWS: dict[str, Callable[[Look], View]] = {
    "tokens": embedding.tokens,
    "embed": embedding.embed,
    "ln1": norms.ln1,
    "qkv": attention.qkv,
    "scores": attention.scores,
    "matrix": attention.matrix,
    "heads": heads.heads,
    "values": heads.values,
    "attn_out": heads.attn_out,
    "resid_mid": residual.resid_mid,
    "ln2": norms.ln2,
    "mlp": mlp.mlp,
    "neurons": mlp.neurons,
    "resid_post": residual.resid_post,
    "ln_final": norms.ln_final,
    "logits": output.logits,
    "sample": draws.sample,
    "cache": cache.cache,
}


def show(stage: str, look: Look) -> View:
    """The view of a stage. Raises: UserError if there is no such stage."""
    if stage not in VIEWS:
        raise UserError(f"There is no stage called {stage}; the stages are {', '.join(STAGES)}.")
    return VIEWS[stage](look)
