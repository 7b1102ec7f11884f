"""One view for each stage."""

from collections.abc import Callable

from lab.errors import UserError
from lab.stages import attention, cache, draws, embedding, heads, mlp, norms, output, residual, thumbnails
from lab.stages.look import Look
from lab.stages.order import STAGES
from lab.unembed import Slices, finish
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


LONG: dict[str, Callable[[Look], Slices[View]]] = {"thumbnails": thumbnails.thumbnails}
"""Those that go through all layers."""


def show(stage: str, look: Look) -> View:
    """The view of a stage. Raises: UserError if there is no such stage."""
    return finish(show_in_slices(stage, look))


def show_in_slices(stage: str, look: Look) -> Slices[View]:
    """The same, a layer a slice where it goes through all of them."""
    if stage in LONG:
        return (yield from LONG[stage](look))
    if stage not in VIEWS:
        raise UserError(f"There is no stage called {stage}; the stages are {', '.join(STAGES)}.")
    return VIEWS[stage](look)
