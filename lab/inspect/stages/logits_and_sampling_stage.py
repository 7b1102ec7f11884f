"""The logits of the next token, their softmax over the whole vocabulary, and the sampling of a token: penalty, temperature and
filters, and the draw of a random number on the cumulative probability.
"""

import numpy as np

from lab.core.number_format import probability, significant, whole
from lab.inspect.stages.stage_context import SAMPLING_KEYS, Draw, Stage, StageContext
from lab.views.blocks import Block, Cell, Column, IntervalBar, IntervalPart, Parity, Table, View
from lab.views.number_refs import ref
from lab.views.number_tables import Numbers, share
from lab.views.softmax_table import SMALL_DIGITS, Others, Titles, softmax, softmax_table

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
    rest = np.delete(values, top)
    names = {"score": "logits", "shifted": "logits.shifted", "exp": "probability.exp", "softmax": "probability"}

    def name(column: str, row: int | None) -> str:
        return ref("probability.sum", at) if row is None else ref(names[column], at, top[row])

    return softmax_table(
        [context.tokenizer.label(id_) for id_ in top],
        values[top],
        subtract_max=True,
        percent=True,
        others=Others(f"{whole(len(rest))} others", float(np.exp(rest - values.max()).sum())) if len(rest) else None,
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
    fast = context.traced.fast.get("ln_final.out")
    largest = float(np.abs(context.logits[np.isfinite(context.logits)]).max(initial=0.0))
    if fast is None:
        x = context.row("ln_final.out")
        listed = context.weight("wte.weight")[top].astype(np.float64) @ x
        return Parity("logits listed · float64", float(np.abs(listed - context.logits[top]).max()), len(top), largest)

    def delta() -> float:
        own = context.unembed(fast[context.position : context.position + 1].numpy())[0]
        return float(np.abs(own - context.logits).max())

    worst = context.traced.get_or_compute("logits parity", context.position, delta)
    return Parity("logits · fast path", worst, len(context.logits), largest)


MOST_DRAW_DECIMALS = 12
SMALLEST = 1e-300
"""Least share that has a logarithm."""
ON_THE_LINE = 12
"""Most tokens with an interval in the bar of cumulative probability."""


@Stage(
    "sample",
    "With these settings and this seed, {prediction} is drawn as token {next}.",
    SAMPLING_KEYS,
    layer_key=False,
    code={
        "sampling.py: distribution": ("values =", "before =", "after", "order,"),
        "sampling.py: draw": ("at =", "order,", "return"),
    },
)
def sample(context: StageContext) -> View:
    """The distribution before and after penalty, temperature and filters, and the random number that picks the next token."""
    at, draw = context.position, context.draw()
    listed = largest(context.logits, LISTED)
    if draw.id not in listed:
        listed.append(draw.id)
    low, high = draw.interval(draw.id)
    decimals = _draw_decimals(low, draw.u, high)
    rows = [_sample_row(context, draw, id_, decimals) for id_ in listed]
    if len(listed) < len(draw.before):
        rows.append(_others_row(draw, listed))
    columns = [Column("token", align="left"), Column("before", optional=1), Column("after"), Column("from"), Column("to")]
    total = [Cell("Σ"), Cell("100%", 1.0), Cell("100%", 1.0), Cell(""), Cell("")]
    table = Table(columns, rows, title=_settings(context), total=total, selected=listed.index(draw.id))
    label = context.tokenizer.label(draw.id)
    seed = f"u (seed {context.sampling.seed}, position {context.draws_for + 1})"
    number = Table(
        [Column("the draw", align="left"), Column("value")],
        [
            [Cell(seed), _fraction(draw.u, decimals, "sample.u", at)],
            [Cell("interval from"), _fraction(low, decimals, "sample.low", at, draw.id)],
            [Cell("to below"), _fraction(high, decimals, "sample.high", at, draw.id)],
            [Cell("token"), Cell(label, style="strong")],
        ],
    )
    blocks: list[Block] = [_line(context, draw, listed, decimals), table, number]
    return View("sample", "sample", _drawn_sentence(context, draw, decimals), blocks, _sample_parity(context, draw, listed))


def _line(context: StageContext, draw: Draw, listed: list[int], decimals: int) -> IntervalBar:
    """Cumulative probability: the intervals of the most probable tokens and the drawn one, all between them as others."""
    at = context.position
    named = {id_ for id_ in listed[:ON_THE_LINE] if draw.kept[id_]} | {draw.id}
    parts: list[IntervalPart] = []
    reached = 0.0
    for id_ in sorted(named, key=draw.rank):
        low, high = draw.interval(id_)
        if low > reached:
            parts.append(IntervalPart("others", reached, low))
        parts.append(IntervalPart(context.tokenizer.label(id_), low, high, ref("sample.after", at, id_)))
        reached = high
    if len(named) < int(draw.kept.sum()):
        parts.append(IntervalPart("others", reached, 1.0))
    selected = next(i for i, part in enumerate(parts) if part.ref == ref("sample.after", at, draw.id))
    return IntervalBar("cumulative probability, 0 to 1", parts, draw.u, f"u = {draw.u:.{decimals}f}", selected)


def _settings(context: StageContext) -> str:
    sampling = context.sampling
    penalty = f"repetition penalty {sampling.repetition_penalty:g}" if sampling.repetition_penalty > 1 else ""
    if sampling.greedy or sampling.temperature == 0:
        return "greedy: always the most probable token" + f" after a {penalty}" * bool(penalty)
    filters = [f"top-k {sampling.top_k}"] * (sampling.top_k > 0) + [f"top-p {sampling.top_p:g}"] * (sampling.top_p < 1)
    filters += [f"min-p {sampling.min_p:g}"] * (sampling.min_p > 0)
    return ", ".join(part for part in (penalty, f"temperature {sampling.temperature:g}", *(filters or ["no filter"])) if part)


def _draw_decimals(low: float, u: float, high: float) -> int:
    """The fewest decimals, at least 4, that print u inside its interval."""
    for decimals in range(4, MOST_DRAW_DECIMALS):
        if round(low, decimals) <= round(u, decimals) < round(high, decimals):
            return decimals
    return MOST_DRAW_DECIMALS


def _fraction(value: float, decimals: int, name: str, *indices: int) -> Cell:
    return Cell(f"{value:.{decimals}f}", value, ref(name, *indices))


def _sample_row(context: StageContext, draw: Draw, id_: int, decimals: int) -> list[Cell]:
    at = context.position
    style = "" if draw.kept[id_] else "struck"
    p, q = float(draw.before[id_]), float(draw.after[id_])
    cells = [
        Cell(context.tokenizer.label(id_), style=style),
        share(p, SMALL_DIGITS, ref("probability", at, id_), style),
    ]
    if not draw.kept[id_]:
        return [*cells, Cell(f"out: {_why_out(context, id_)}", style="dim"), Cell(""), Cell("")]
    low, high = draw.interval(id_)
    return [
        *cells,
        share(q, SMALL_DIGITS, ref("sample.after", at, id_)),
        _fraction(low, decimals, "sample.low", at, id_),
        _fraction(high, decimals, "sample.high", at, id_),
    ]


def _why_out(context: StageContext, id_: int) -> str:
    """The setting that removes a token."""
    sampling = context.sampling
    if sampling.greedy or sampling.temperature == 0:
        return "greedy"
    scores = _penalized(context)
    above = int((scores > scores[id_]).sum() + (scores[:id_] == scores[id_]).sum())
    if sampling.top_k and above >= sampling.top_k:
        return "top-k"
    is_small = scores[id_] - scores.max() < sampling.temperature * np.log(max(sampling.min_p, SMALLEST))
    return "min-p" if sampling.min_p and is_small else "top-p"


def _penalized(context: StageContext) -> Numbers:
    """The logits (V,), those of the tokens in the window penalized."""
    scores, penalty = context.logits.astype(np.float64), context.sampling.repetition_penalty
    for id_ in set(context.window):
        scores[id_] = scores[id_] / penalty if scores[id_] > 0 else scores[id_] * penalty
    return scores


def _others_row(draw: Draw, listed: list[int]) -> list[Cell]:
    kept, before, after = (np.delete(each, listed) for each in (draw.kept, draw.before, draw.after))
    count, left, p, q = len(kept), int(kept.sum()), float(before.sum()), float(after.sum())
    label = f"{whole(count)} others" + (f", {whole(count - left)} of them out" if 0 < left < count else "")
    return [
        Cell(label, style="dim"),
        share(p, SMALL_DIGITS, style="dim"),
        share(q, SMALL_DIGITS, style="dim") if left else Cell("out", style="dim"),
        Cell(""),
        Cell(""),
    ]


def _drawn_sentence(context: StageContext, draw: Draw, decimals: int) -> str:
    label, kept = context.tokenizer.label(draw.id), int(draw.kept.sum())
    if kept == 1:
        given = probability(float(draw.before[draw.id]))
        return f"Only “{label}” can be drawn after {context.here}; the model gives it {given}."
    rank = draw.rank(draw.id)
    rank_text = "the most probable token" if rank == 0 else f"rank {whole(rank + 1)}"
    return (
        f"After {context.here} one of {whole(kept)} tokens is drawn: the random number {draw.u:.{decimals}f} falls on “{label}” "
        f"({rank_text}, {probability(float(draw.after[draw.id]))})."
    )


def _sample_parity(context: StageContext, draw: Draw, listed: list[int]) -> Parity:
    """Penalty, temperature and filters computed again from the logits, against the distribution that is drawn from."""
    sampling, values = context.sampling, _penalized(context)
    own = np.zeros_like(values)
    if sampling.greedy or sampling.temperature == 0:
        own[int(values.argmax())] = 1.0
    else:
        top = np.argsort(-values, kind="stable")[: sampling.top_k or None]
        p = softmax(values[top] / sampling.temperature)
        if sampling.top_p < 1:
            p = p[: int(np.searchsorted(np.cumsum(p), sampling.top_p)) + 1]
        p = p[p >= sampling.min_p * p[0]]
        own[top[: len(p)]] = p / p.sum()
    return Parity("after · models.sampling", float(np.abs(own[listed] - draw.after[listed]).max()), len(listed))
