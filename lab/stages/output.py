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


def by_falling(values: Numbers) -> Numbers:
    """Indices of the largest values first, the lower index on a tie, as the sampling orders them."""
    return np.argsort(-values, kind="stable")


def logits(look: Look) -> View:
    """The next token's logits, their softmax over the whole vocabulary, and the row that stands for all other tokens."""
    at, values = look.position, look.logits
    order = by_falling(values)
    top, rest = order[:LISTED], order[LISTED:]
    exps = np.exp(values - values.max())
    names = {"score": "logits", "shifted": "probability.shifted", "exp": "probability.exp", "softmax": "probability"}

    def name(column: str, row: int | None) -> str:
        return ref("probability.sum", at) if row is None else ref(names[column], at, int(top[row]))

    table = softmax_table(
        [look.tokenizer.label(id_) for id_ in top.tolist()],
        values[top],
        subtract_max=True,
        percent=True,
        others=Others(f"{whole(len(rest))} others", float(exps[rest].sum())) if len(rest) else None,
        titles=Titles("token", score="logit", softmax="probability"),
        title=f"after {look.here}: position {at + 1} predicts token {at + 2}",
        ref=name,
    )
    return View("logits", "logits → softmax", _says(look, order), [table], _logits_parity(look, top))


def _says(look: Look, order: Numbers) -> str:
    probabilities = softmax(look.logits)
    best = int(order[0])
    sentence = (
        f"The final norm's output is multiplied by the vector of each of the {whole(len(order))} tokens: after {look.here}, "
        f"“{look.tokenizer.label(best)}” scores highest and gets {probability(float(probabilities[best]))}"
    )
    if len(order) > 1:
        lead = float(look.logits[best] - look.logits[int(order[1])])
        sentence += f", {significant(lead)} in logit above “{look.tokenizer.label(int(order[1]))}”"
    if look.position + 1 < len(look.ids):
        following = look.ids[look.position + 1]
        rank = int(np.flatnonzero(order == following)[0]) + 1
        sentence += (
            f". The prompt goes on with {look.quoted(look.position + 1)}, which got "
            f"{probability(float(probabilities[following]))} (rank {whole(rank)})"
        )
    return sentence + "."


def _logits_parity(look: Look, top: Numbers) -> Parity:
    if look.traced.logit_delta is not None:
        return Parity("logits · fast path", float(look.traced.logit_delta[look.position]), len(look.logits))
    x = look.row("ln_final.normalized")
    listed = look.weight("wte.weight")[top].astype(np.float64) @ x
    return Parity("logits listed · float64", float(np.abs(listed - look.logits[top]).max()), len(top))


def sample(look: Look) -> View:
    """The distribution before and after temperature, top-k and top-p, and the number that picks the next token."""
    at, sampling = look.position, look.sampling
    found = look.distribution()
    before, after, kept = found.before.numpy(), found.after.numpy(), found.kept.numpy()
    drawn = look.draw()
    order = by_falling(look.logits)
    listed = order[:LISTED].tolist()
    ends = np.cumsum(after[order])
    place = int(np.flatnonzero(order == drawn.id)[0])
    if drawn.id not in listed:
        listed.append(drawn.id)
    decimals = _draw_decimals(drawn)
    rows = [_sample_row(look, id_, before, after, kept, ends, order, decimals) for id_ in listed]
    rest = [id_ for id_ in order.tolist() if id_ not in set(listed)]
    if rest:
        rows.append(_others_row(rest, before, after, kept))
    columns = [Column("token", align="left"), Column("before"), Column("after"), Column("from"), Column("to")]
    total = [Cell("Σ"), Cell("100%", 1.0), Cell("100%", 1.0), Cell(""), Cell("")]
    settings = _settings(look)
    table = Table(columns, rows, title=settings, total=total, selected=listed.index(drawn.id))
    number = Table(
        [Column("the draw", align="left"), Column("value")],
        [
            [
                Cell(f"u, from seed {sampling.seed} and place {look.dropped + at + 2}"),
                _fraction(drawn.u, decimals, "sample.u", at),
            ],
            [Cell("falls at or above"), _fraction(drawn.low, decimals, "sample.low", at, drawn.id)],
            [Cell("and below"), _fraction(drawn.high, decimals, "sample.high", at, drawn.id)],
            [Cell("which belongs to"), Cell(drawn.label, style="strong")],
        ],
    )
    sentence = _drawn_sentence(look, drawn, place, decimals, int(kept.sum()))
    return View("sample", "sample", sentence, [table, number], _sample_parity(look, listed, after))


def _settings(look: Look) -> str:
    sampling = look.sampling
    if sampling.greedy or sampling.temperature == 0:
        return "greedy: always the most probable token"
    parts = [f"temperature {sampling.temperature:g}"]
    parts.append(f"top-k {sampling.top_k}" if sampling.top_k else "no top-k")
    parts.append(f"top-p {sampling.top_p:g}" if sampling.top_p < 1 else "no top-p")
    return ", ".join(parts)


def _draw_decimals(drawn: Draw) -> int:
    """The fewest decimals, at least 4, with which u is still seen to lie in its interval."""
    for decimals in range(4, MOST_DRAW_DECIMALS):
        low, u, high = (round(value, decimals) for value in (drawn.low, drawn.u, drawn.high))
        if low <= u < high:
            return decimals
    return MOST_DRAW_DECIMALS


def _fraction(value: float, decimals: int, name: str, *indices: int) -> Cell:
    return Cell(f"{value:.{decimals}f}", value, ref(name, *indices))


def _sample_row(
    look: Look, id_: int, before: Numbers, after: Numbers, kept: Numbers, ends: Numbers, order: Numbers, decimals: int
) -> list[Cell]:
    at = look.position
    style = "" if kept[id_] else "dim"
    p, q = float(before[id_]), float(after[id_])
    cells = [
        Cell(look.tokenizer.label(id_), style=style),
        Cell(probability(p), p, ref("probability", at, id_), p, style),
    ]
    if not kept[id_]:
        return [*cells, Cell("masked", style="masked"), Cell("", style=style), Cell("", style=style)]
    high = float(ends[int(np.flatnonzero(order == id_)[0])])
    low = 0.0 if id_ == order[0] else high - q
    return [
        *cells,
        Cell(probability(q), q, ref("sample.after", at, id_), q),
        _fraction(low, decimals, "sample.low", at, id_),
        _fraction(high, decimals, "sample.high", at, id_),
    ]


def _others_row(rest: list[int], before: Numbers, after: Numbers, kept: Numbers) -> list[Cell]:
    p, q = float(before[rest].sum()), float(after[rest].sum())
    left = int(kept[rest].sum())
    label = f"{whole(len(rest))} others" + (f", {whole(len(rest) - left)} of them masked" if 0 < left < len(rest) else "")
    return [
        Cell(label, style="dim"),
        Cell(probability(p), p, bar=p, style="dim"),
        Cell(probability(q), q, bar=q, style="dim") if left else Cell("masked", style="masked"),
        Cell(""),
        Cell(""),
    ]


def _drawn_sentence(look: Look, drawn: Draw, place: int, decimals: int, kept: int) -> str:
    if kept == 1:
        given = probability(drawn.before)
        return f"Only one token is left to draw from after {look.here}: “{drawn.label}”, which the model gives {given}."
    rank = "the most probable token" if place == 0 else f"rank {whole(place + 1)}"
    return (
        f"After {look.here} {whole(kept)} tokens may be drawn. Laid end to end they fill 0 to 1; the random number "
        f"{drawn.u:.{decimals}f} falls on “{drawn.label}” ({rank}, {probability(drawn.after)})."
    )


def _sample_parity(look: Look, listed: list[int], after: Numbers) -> Parity:
    """The filters worked out once more here, from the logits, against the distribution that is drawn from."""
    sampling, values = look.sampling, look.logits
    order = by_falling(values)
    own = np.zeros_like(values)
    if sampling.greedy or sampling.temperature == 0:
        own[order[0]] = 1.0
    else:
        top = order[: sampling.top_k or None]
        p = softmax(values[top] / sampling.temperature)
        if sampling.top_p < 1:
            p = p[: int(np.searchsorted(np.cumsum(p), sampling.top_p)) + 1]
        own[top[: len(p)]] = p / p.sum()
    return Parity("after · models.sampling", float(np.abs(own[listed] - after[listed]).max()), len(listed))
