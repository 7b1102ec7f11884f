"""Lens grid: for every token of the prompt and every layer, the next token that the model would predict there."""

from typing import TYPE_CHECKING

import numpy as np

from lab.core.number_format import probability
from lab.inspect.stages.stage_context import LensName, Stage, StageContext
from lab.views.blocks import Array, Destination, Parity, TextGrid, View
from lab.views.number_tables import Numbers, around
from models.unembed import unembed

if TYPE_CHECKING:
    from torch import Tensor

ROWS = 64
"""Most tokens in the grid: those around the position."""
ASSUMES: dict[LensName, str] = {
    "logit": "The logit lens assumes that every layer writes as the last one does.",
    "Jacobian": "The Jacobian lens assumes that the layers to come act as their mean derivative does.",
    "tuned": "The tuned lens assumes an affine map for each layer, fitted to the predictions on training text.",
}


@Stage(
    "logit lens grid",
    "Every row is a token; each column shows what the model would predict after it if it stopped at that layer.",
    ("view",),
    code={"gpt.py: GPT.hidden": ("normed",), "gpt.py: GPT.unembed": ("return",)},
)
def lens(context: StageContext) -> View:
    """The grid around the position.

    Final norm and output head are applied to the residual stream after each layer (nostalgebraist 2020, "interpreting GPT: the
    logit lens"); with another lens, to what its map of that layer makes of the stream (see `models.lenses`). After the last layer
    that is the model's own prediction.
    """
    rows = around(len(context.ids), context.position, ROWS)
    layers = range(-1, context.config.layers)
    columns = [_column(context, layer, rows) for layer in layers]
    ids = np.array([column[0] for column in columns]).T  # (tokens, layers + 1)
    probabilities = np.array([column[1] for column in columns]).T
    following = [context.ids[row + 1] if row + 1 < len(context.ids) else None for row in rows]
    grid = TextGrid(
        f"{context.lens} lens",
        [context.name(row) for row in rows],
        ["embed", *(f"layer {layer + 1}" for layer in range(context.config.layers))],
        [[context.tokenizer.label(id_) for id_ in row] for row in ids.tolist()],
        Array.of(probabilities),
        legend="probability of the token in the cell",
        marked=[[id_ == next_ for id_ in row] for row, next_ in zip(ids.tolist(), following, strict=True)],
        marked_legend="underlined: the token that came next",
        destinations=[
            Destination("embed" if layer < 0 else "resid_post", None if layer < 0 else layer, None) for layer in layers
        ],
        first_position=rows.start,
        selected=(context.position - rows.start, len(columns) - 1),
    )
    here = context.position - rows.start
    sentence = _sentence(context, ids[here], probabilities[here])
    parity = _parity(context, probabilities[:, -1], rows)
    view = View("lens", f"{context.lens} lens · every token, every layer", sentence, [grid], parity)
    if context.lens != "logit" and context.opened.lenses is not None:
        view.blocks.append(context.opened.lenses.table("validation text", context.width))
    return view


def _column(context: StageContext, layer: int, rows: range) -> tuple[list[int], list[float]]:
    """The most probable next token after a layer (−1: the embedding) for each row, and its probability."""
    from models.trace import layer_norm

    def column() -> tuple[list[int], list[float]]:
        stream = context.trace["blocks.0.resid_pre" if layer < 0 else f"blocks.{layer}.resid_post"][rows.start : rows.stop]
        if context.lens != "logit" and layer < context.config.layers - 1:
            assert context.opened.lenses is not None, "lenses are fitted before they are shown"
            matrix, bias = context.opened.lenses.maps[context.lens][layer + 1]
            stream = stream @ matrix.T + bias
        return _most_probable(context, layer_norm(stream, context.opened.model.ln_f))

    return context.traced.get_or_compute(("lens column", context.lens, layer, rows), 0, column)


def _most_probable(context: StageContext, vectors: "Tensor") -> tuple[list[int], list[float]]:
    """The most probable token and its probability for each of (n, C) vectors after the final norm."""
    logits = unembed(context.opened.model, vectors)  # (n, V)
    best, ids = logits.max(-1)
    return ids.tolist(), (best.double() - logits.double().logsumexp(-1)).exp().tolist()


def _parity(context: StageContext, shown: Numbers, rows: range) -> Parity:
    """The last column against the model's own output."""
    fast = context.traced.fast.get("ln_final.out")
    vectors = context.trace["ln_final.out"] if fast is None else fast
    _, own = _most_probable(context, vectors[rows.start : rows.stop])
    name = f"last column · {'trace' if fast is None else 'fast path'}"
    return Parity(name, float(np.abs(shown - np.array(own)).max()), len(rows), float(max(own)))


def _sentence(context: StageContext, ids: Numbers, probabilities: Numbers) -> str:
    """From where on the prediction at the position stays the final one."""
    final = int(ids[-1])
    others = np.flatnonzero(ids != final)
    since = int(others[-1]) + 1 if len(others) else 0
    token = f"“{context.tokenizer.label(final)}”"
    place = "from the embedding on" if since == 0 else f"from layer {since} on"
    if since == len(ids) - 1 and since > 0:
        place = "only after the last layer"
    p = probability(float(probabilities[-1]))
    return f"{ASSUMES[context.lens]} After {context.here} the model predicts {token} ({p}); {place} it ranks first."
