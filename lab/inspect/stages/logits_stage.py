"""The logits of the next token, and their softmax over the whole vocabulary."""

import numpy as np

from lab.core.number_format import probability, significant, whole
from lab.inspect.stages.stage_context import SAMPLING_KEYS, Stage, StageContext
from lab.views.blocks import Parity, Table, View
from lab.views.number_refs import ref
from lab.views.number_tables import Numbers
from lab.views.softmax_table import Others, Titles, softmax, softmax_table

LISTED = 20
"""Tokens listed of a distribution; the rest of the vocabulary is one row."""


def largest(values: Numbers, count: int) -> list[int]:
    """Indices of the `count` largest values, falling, the lower index first on a tie, as the sampling orders them."""
    count = min(count, len(values))
    edge = np.partition(values, len(values) - count)[len(values) - count]
    found = np.flatnonzero(values >= edge)
    return [int(index) for index in found[np.argsort(-values[found], kind="stable")][:count]]


@Stage(
    "logits → softmax",
    "Softmax over the logits of all tokens makes {prediction} the most probable.",
    SAMPLING_KEYS,
    layer_key=False,
    code={
        "gpt.py: GPT.unembed": ("return",),
        "sampling.py: _less_largest": ("return",),
        "sampling.py: _probabilities": ("exponentials",),
    },
)
def logits(context: StageContext) -> View:
    """The largest logits with their softmax over the whole vocabulary, and one row for all other tokens."""
    top = largest(context.logits, LISTED)
    return View("logits", "logits → softmax", _sentence(context, top), [_table(context, top)], _logits_parity(context, top))


def likeliest(context: StageContext) -> Table:
    """The most probable next tokens, with logit and probability: rows of the stage's table, without the others."""
    table = _table(context, largest(context.logits, LISTED))
    rows = [[*row[:2], row[-1]] for row in table.rows[:LISTED]]
    return Table([*table.columns[:2], table.columns[-1]], rows, f"likeliest next tokens {table.title}")


def _table(context: StageContext, top: list[int]) -> Table:
    at, values = context.position, context.logits
    rest = np.ones(len(values), dtype=bool)
    rest[top] = False
    exps = np.exp(values - values.max())
    names = {"score": "logits", "shifted": "logits.shifted", "exp": "probability.exp", "softmax": "probability"}

    def name(column: str, row: int | None) -> str:
        return ref("probability.sum", at) if row is None else ref(names[column], at, top[row])

    return softmax_table(
        [context.tokenizer.label(id_) for id_ in top],
        values[top],
        subtract_max=True,
        percent=True,
        others=Others(f"{whole(int(rest.sum()))} others", float(exps[rest].sum())) if rest.any() else None,
        titles=Titles("token", score="logit", softmax="probability"),
        title=f"after “{context.label(at)}”: position {at + 1} predicts token {at + 2}",
        ref=name,
    )


def _sentence(context: StageContext, top: list[int]) -> str:
    values = context.logits
    probabilities = softmax(values)
    best = probability(float(probabilities[top[0]]))
    sentence = f"“{context.tokenizer.label(top[0])}” has the highest of {whole(len(values))} logits after {context.here}: {best}"
    if len(top) > 1:
        lead = significant(float(values[top[0]] - values[top[1]]))
        sentence += f", {lead} logits above “{context.tokenizer.label(top[1])}”"
    if context.position + 1 < len(context.ids):
        following = context.ids[context.position + 1]
        rank = 1 + int((values > values[following]).sum())
        sentence += (
            f". The prompt's next token {context.quoted(context.position + 1)} got "
            f"{probability(float(probabilities[following]))} (rank {whole(rank)})"
        )
    return sentence + "."


def _logits_parity(context: StageContext, top: list[int]) -> Parity:
    """All logits against the fast path's; where that is not cached, the listed ones against dot products in float64."""
    fast, largest = (
        context.traced.fast.get("ln_final.out"),
        float(np.abs(context.logits[np.isfinite(context.logits)]).max(initial=0.0)),
    )
    if fast is None:
        x = context.row("ln_final.out")
        listed = context.weight("wte.weight")[top].astype(np.float64) @ x
        return Parity("logits listed · float64", float(np.abs(listed - context.logits[top]).max()), len(top), largest)

    def delta() -> float:
        own = context.unembed(fast[context.position : context.position + 1].numpy())[0]
        return float(np.abs(own - context.logits).max())

    worst = context.traced.get_or_compute("logits parity", context.position, delta)
    return Parity("logits · fast path", worst, len(context.logits), largest)
