"""The end of the way: logits, the softmax over the whole vocabulary, and the draw of the next token."""

import numpy as np

from lab.numbers import probability, significant, whole
from lab.refs import ref
from lab.softmax import Others, Titles, softmax, softmax_table
from lab.stages.look import Draw, Look, Numbers
from lab.views import Cell, Column, Parity, Table, View

LISTED = 20
"""Tokens listed of a distribution; the rest of the vocabulary is one row."""
MOST_DRAW_DECIMALS = 12


def largest(values: Numbers, count: int) -> list[int]:
    """Indices of the `count` largest values, falling, the lower index first on a tie, as the sampling orders them."""
    count = min(count, len(values))
    edge = np.partition(values, len(values) - count)[len(values) - count]
    found = np.flatnonzero(values >= edge)
    return [int(index) for index in found[np.argsort(-values[found], kind="stable")][:count]]


def logits(look: Look) -> View:
    """The next token's logits, their softmax over the whole vocabulary, and the row that stands for all other tokens."""
    at, values = look.position, look.logits
    top = largest(values, LISTED)
    rest = np.ones(len(values), dtype=bool)
    rest[top] = False
    exps = np.exp(values - values.max())
    names = {"score": "logits", "shifted": "logits.shifted", "exp": "probability.exp", "softmax": "probability"}

    def name(column: str, row: int | None) -> str:
        return ref("probability.sum", at) if row is None else ref(names[column], at, top[row])

    table = softmax_table(
        [look.tokenizer.label(id_) for id_ in top],
        values[top],
        subtract_max=True,
        percent=True,
        others=Others(f"{whole(int(rest.sum()))} others", float(exps[rest].sum())) if rest.any() else None,
        titles=Titles("token", score="logit", softmax="probability"),
        title=f"after {look.here}: position {at + 1} predicts token {at + 2}",
        ref=name,
    )
    return View("logits", "logits → softmax", _says(look, top), [table], _logits_parity(look, top))


def _says(look: Look, top: list[int]) -> str:
    values = look.logits
    probabilities = softmax(values)
    sentence = (
        f"The final norm's output is multiplied by the vector of each of the {whole(len(values))} tokens: after {look.here}, "
        f"“{look.tokenizer.label(top[0])}” scores highest and gets {probability(float(probabilities[top[0]]))}"
    )
    if len(top) > 1:
        lead = significant(float(values[top[0]] - values[top[1]]))
        sentence += f", {lead} in logit above “{look.tokenizer.label(top[1])}”"
    if look.position + 1 < len(look.ids):
        following = look.ids[look.position + 1]
        rank = 1 + int((values > values[following]).sum())
        sentence += (
            f". The prompt goes on with {look.quoted(look.position + 1)}, which got "
            f"{probability(float(probabilities[following]))} (rank {whole(rank)})"
        )
    return sentence + "."


def _logits_parity(look: Look, top: list[int]) -> Parity:
    """All logits against the fast path's; where it is not held, those listed against the dot products in float64."""
    fast = look.traced.fast.get("ln_final.normalized")
    if fast is None:
        x = look.row("ln_final.normalized")
        listed = look.weight("wte.weight")[top].astype(np.float64) @ x
        return Parity("logits listed · float64", float(np.abs(listed - look.logits[top]).max()), len(top))

    def delta() -> float:
        own = look.unembed(fast[look.position : look.position + 1].numpy())[0]
        return float(np.abs(own - look.logits).max())

    return Parity("logits · fast path", look.traced.once("logits parity", look.position, delta), len(look.logits))


def sample(look: Look) -> View:
    """The distribution before and after temperature, top-k and top-p, and the number that picks the next token."""
    at, draw = look.position, look.draw()
    listed = largest(look.logits, LISTED)
    if draw.id not in listed:
        listed.append(draw.id)
    low, high = draw.interval(draw.id)
    decimals = _draw_decimals(low, draw.u, high)
    rows = [_sample_row(look, draw, id_, decimals) for id_ in listed]
    rest = np.ones(len(draw.before), dtype=bool)
    rest[listed] = False
    if rest.any():
        rows.append(_others_row(draw, rest))
    columns = [Column("token", align="left"), Column("before"), Column("after"), Column("from"), Column("to")]
    total = [Cell("Σ"), Cell("100%", 1.0), Cell("100%", 1.0), Cell(""), Cell("")]
    table = Table(columns, rows, title=_settings(look), total=total, selected=listed.index(draw.id))
    label = look.tokenizer.label(draw.id)
    seed = f"u, from seed {look.sampling.seed} and place {look.draws_for + 1}"
    number = Table(
        [Column("the draw", align="left"), Column("value")],
        [
            [Cell(seed), _fraction(draw.u, decimals, "sample.u", at)],
            [Cell("falls at or above"), _fraction(low, decimals, "sample.low", at, draw.id)],
            [Cell("and below"), _fraction(high, decimals, "sample.high", at, draw.id)],
            [Cell("which belongs to"), Cell(label, style="strong")],
        ],
    )
    return View("sample", "sample", _drawn_sentence(look, draw, decimals), [table, number], _sample_parity(look, draw, listed))


def _settings(look: Look) -> str:
    sampling = look.sampling
    if sampling.greedy or sampling.temperature == 0:
        return "greedy: always the most probable token"
    parts = [f"temperature {sampling.temperature:g}"]
    parts.append(f"top-k {sampling.top_k}" if sampling.top_k else "no top-k")
    parts.append(f"top-p {sampling.top_p:g}" if sampling.top_p < 1 else "no top-p")
    return ", ".join(parts)


def _draw_decimals(low: float, u: float, high: float) -> int:
    """The fewest decimals, at least 4, with which u is still seen to lie in its interval."""
    for decimals in range(4, MOST_DRAW_DECIMALS):
        if round(low, decimals) <= round(u, decimals) < round(high, decimals):
            return decimals
    return MOST_DRAW_DECIMALS


def _fraction(value: float, decimals: int, name: str, *indices: int) -> Cell:
    return Cell(f"{value:.{decimals}f}", value, ref(name, *indices))


def _sample_row(look: Look, draw: Draw, id_: int, decimals: int) -> list[Cell]:
    at = look.position
    style = "" if draw.kept[id_] else "dim"
    p, q = float(draw.before[id_]), float(draw.after[id_])
    cells = [
        Cell(look.tokenizer.label(id_), style=style),
        Cell(probability(p), p, ref("probability", at, id_), p, style),
    ]
    if not draw.kept[id_]:
        return [*cells, Cell("masked", style="masked"), Cell("", style=style), Cell("", style=style)]
    low, high = draw.interval(id_)
    return [
        *cells,
        Cell(probability(q), q, ref("sample.after", at, id_), q),
        _fraction(low, decimals, "sample.low", at, id_),
        _fraction(high, decimals, "sample.high", at, id_),
    ]


def _others_row(draw: Draw, rest: Numbers) -> list[Cell]:
    count, left = int(rest.sum()), int(draw.kept[rest].sum())
    p, q = float(draw.before[rest].sum()), float(draw.after[rest].sum())
    label = f"{whole(count)} others" + (f", {whole(count - left)} of them masked" if 0 < left < count else "")
    return [
        Cell(label, style="dim"),
        Cell(probability(p), p, bar=p, style="dim"),
        Cell(probability(q), q, bar=q, style="dim") if left else Cell("masked", style="masked"),
        Cell(""),
        Cell(""),
    ]


def _drawn_sentence(look: Look, draw: Draw, decimals: int) -> str:
    label, kept = look.tokenizer.label(draw.id), int(draw.kept.sum())
    if kept == 1:
        given = probability(float(draw.before[draw.id]))
        return f"Only one token is left to draw from after {look.here}: “{label}”, which the model gives {given}."
    place = draw.place(draw.id)
    rank = "the most probable token" if place == 0 else f"rank {whole(place + 1)}"
    return (
        f"After {look.here} {whole(kept)} tokens may be drawn. Laid end to end they fill 0 to 1; the random number "
        f"{draw.u:.{decimals}f} falls on “{label}” ({rank}, {probability(float(draw.after[draw.id]))})."
    )


def _sample_parity(look: Look, draw: Draw, listed: list[int]) -> Parity:
    """Temperature and filters worked out once more here, from the logits, against the distribution that is drawn from."""
    sampling, values = look.sampling, look.logits
    own = np.zeros_like(values)
    if sampling.greedy or sampling.temperature == 0:
        own[int(values.argmax())] = 1.0
    else:
        top = np.argsort(-values, kind="stable")[: sampling.top_k or None]
        p = softmax(values[top] / sampling.temperature)
        if sampling.top_p < 1:
            p = p[: int(np.searchsorted(np.cumsum(p), sampling.top_p)) + 1]
        own[top[: len(p)]] = p / p.sum()
    return Parity("after · models.sampling", float(np.abs(own[listed] - draw.after[listed]).max()), len(listed))
