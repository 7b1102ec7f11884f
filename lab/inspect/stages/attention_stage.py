"""How one head decides where to look: queries and keys, their scores, and the softmax that makes a pattern of them."""

import math

import numpy as np

from lab.core.number_format import probability, significant
from lab.inspect.stages.attention_heads_stage import SINK
from lab.inspect.stages.stage_context import StageContext
from lab.views.blocks import Array, Matrix, Parity, View
from lab.views.number_refs import product, ref
from lab.views.number_tables import Numbers, Series, Sum, around, strip
from lab.views.softmax_table import Others, Titles, softmax, softmax_table

KEYS = 64
"""Keys listed at one time; of more, those with the most attention are, and the rest is one row."""
MASKED = 4
"""Future keys listed as masked; of more, a row says how many."""
WINDOW = 64
"""Rows and columns of a matrix at one time."""


def listed_keys(look: StageContext) -> tuple[list[int], list[int]]:
    """The keys that the head may look at from the position: those to list, in order of position, and those left over.

    Of many, the most attended, the first token and the query itself are listed.
    """
    count = look.position + 1
    if count <= KEYS:
        return list(range(count)), []
    pattern = look.array(look.block + "attn.pattern")[look.head, look.position, :count]
    ranked = dict.fromkeys([0, look.position, *np.argsort(-pattern, kind="stable").tolist()])
    return sorted(list(ranked)[:KEYS]), sorted(list(ranked)[KEYS:])


def head_title(look: StageContext, what: str) -> str:
    return f"{look.place} · attention · head {look.head + 1} · {what}"


def most_attended(look: StageContext) -> int:
    pattern = look.array(look.block + "attn.pattern")[look.head, look.position, : look.position + 1]
    return int(pattern.argmax())


def qkv(look: StageContext) -> View:
    """Query, key and value of the head, how one of their numbers is made, and which dimensions make the largest score."""
    block, head, at, width = look.block, look.head, look.position, look.config.head_width
    q, k, v = (look.heads(f"{block}attn.{part}") for part in "qkv")
    key = most_attended(look)
    query_row, key_row = q[head, at].astype(np.float64), k[head, key].astype(np.float64)
    products = query_row * key_row
    chosen = int(np.abs(products).argmax())
    score = Sum(
        "dimension",
        lambda dimension: str(dimension + 1),
        Series(f"q of {look.label(at).strip()}", query_row, lambda d: ref(f"{block}attn.q", at, head, d)),
        Series(f"k of {look.label(key).strip()}", key_row, lambda d: ref(f"{block}attn.k", key, head, d)),
        "Σ = q·k",
        ref(f"{block}attn.scores_raw", head, at, key),
    ).table(f"the dimensions that make the score of {look.quoted(key)}")
    index = head * width + chosen
    x = look.row(f"{block}ln1.out")
    weight, bias = f"h.{look.layer}.attn.c_attn.weight", f"h.{look.layer}.attn.c_attn.bias"
    projection = Sum(
        "dimension",
        lambda dimension: str(dimension + 1),
        Series("x", x, lambda d: ref(f"{block}ln1.out", at, d)),
        Series("weight", look.weight(weight)[index], lambda d: ref(weight, index, d)),
        f"Σ = q, dimension {chosen + 1}",
        ref(f"{block}attn.q", at, head, chosen),
        float(look.weight(bias)[index]),
        ref(bias, index),
    ).table(f"how dimension {chosen + 1} of q is made")
    names = ref(f"{block}attn.q", at, head), ref(f"{block}attn.k", key, head)
    strips = [
        strip(f"q: what {look.here} asks for", query_row, names[0]),
        strip(f"k: what {look.quoted(key)} offers to be found by", key_row, names[1]),
        strip("q × k, dimension by dimension; added up, the score", products, product(*names)),
        strip(f"k of {look.here} itself", k[head, at], ref(f"{block}attn.k", at, head)),
        strip(f"v: what {look.here} hands on when it is looked at", v[head, at], ref(f"{block}attn.v", at, head)),
    ]
    sentence = (
        f"{look.here} asks with its query, and the key of {look.quoted(key)} answers it best: the {width} products q × k add "
        f"up to {significant(float(products.sum()))}, of which dimension {chosen + 1} gives "
        f"{significant(float(products[chosen]))}."
    )
    return View("qkv", head_title(look, "q, k, v"), sentence, [*strips[:3], score, projection, *strips[3:]], _qkv_parity(look, x))


def _qkv_parity(look: StageContext, x: Numbers) -> Parity:
    """q, k and v of the head at the position, from the weights in float64, against the model's own."""
    head, width, full = look.head, look.config.head_width, look.config.width
    found: list[Parity] = []
    for third, part in enumerate("qkv"):
        rows = slice(third * full + head * width, third * full + (head + 1) * width)
        weight = look.weight(f"h.{look.layer}.attn.c_attn.weight")[rows].astype(np.float64)
        bias = look.weight(f"h.{look.layer}.attn.c_attn.bias")[rows]
        found.append(look.parity(f"{look.block}attn.{part}", weight @ x + bias, look.position, head))
    worst = max(found, key=lambda parity: parity.max_delta)
    name = found[0].name.replace("attn.q", "attn.q, k, v")
    return Parity(name, worst.max_delta, sum(parity.count for parity in found))


def scores(look: StageContext) -> View:
    """q·k, ÷√d, − max, exp and softmax of one query, row by row."""
    block, head, at = look.block, look.head, look.position
    raw = look.array(f"{block}attn.scores_raw")[head, at, : at + 1].astype(np.float64)
    scaled = raw / math.sqrt(look.config.head_width)
    hidden = np.isneginf(look.array(f"{block}attn.attn_scores")[head, at, : at + 1])  # by an intervention
    scaled[hidden] = -np.inf
    keys, rest = ([key for key in some if not hidden[key]] for some in listed_keys(look))
    highest = float(scaled[keys].max())
    others = Others(f"{len(rest)} other keys", float(np.exp(scaled[rest] - highest).sum())) if rest else None
    after = look.before(f"{block}attn.pattern", head, at)
    names = {"raw": "scores_raw", "score": "attn_scores", "shifted": "shifted", "exp": "exp"}
    whole = {column: f"{block}attn.{name}" for column, name in names.items()} | {"softmax": after}

    def name(column: str, row: int | None) -> str:
        if row is None:
            return ref(f"{block}attn.sum", head, at)
        return ref(whole[column], head, at, keys[row])

    table = softmax_table(
        [look.name(key) for key in keys],
        scaled[keys],
        raw=raw[keys],
        subtract_max=True,
        percent=True,
        others=others,
        masked=[*(f"{look.name(key)} hidden" for key in np.flatnonzero(hidden).tolist()), *_masked(look)],
        titles=Titles("key", "q·k", "÷√d", "softmax"),
        title=f"from {look.here} (query); d = {look.config.head_width} numbers in q and in k",
        ref=name,
    )
    pattern = softmax(scaled)
    parity = look.parity(after, pattern, head, at, slice(0, at + 1))
    return View("scores", head_title(look, "scores → softmax"), _pays(look, pattern), [table], parity)


def _masked(look: StageContext) -> list[str]:
    future = range(look.position + 1, len(look.ids))
    rows = [look.name(key) for key in future[:MASKED]]
    return [*rows, f"… {len(future) - MASKED} more"] if len(future) > MASKED else rows


def _pays(look: StageContext, pattern: Numbers) -> str:
    if look.position == 0:
        return f"{look.here} is the first token: it can look at nothing but itself, so it pays itself 100% of its attention."
    key = int(pattern.argmax())
    target = "itself" if key == look.position else look.quoted(key)
    sentence = f"{look.here} pays {probability(float(pattern[key]))} of its attention to {target}"
    if key == 0 and look.position > 1:
        sentence += ", the first token"
        if pattern[0] >= SINK:
            sentence += ", on which heads often rest (an attention sink)"
    return sentence + "."


def matrix(look: StageContext) -> View:
    """The scores of every query and key: raw, scaled and masked, and after the softmax."""
    block, head = look.block, look.head
    shown = around(len(look.ids), look.position, WINDOW)
    window = slice(shown.start, shown.stop)
    raw = look.array(f"{block}attn.scores_raw")[head, window, window]
    scaled = look.array(f"{block}attn.attn_scores")[head, window]  # (window, T)
    pattern = softmax(scaled)
    masked = np.isneginf(scaled[:, window])
    future = np.triu(np.ones((len(shown), len(shown)), dtype=bool), 1)
    after = look.before(f"{block}attn.pattern", head)
    matrices = [
        _matrix(look, shown, "q·k, as they are", raw, f"{block}attn.scores_raw", "before masking: every query with every key"),
        _matrix(
            look, shown, "÷√d and masked", _hide(scaled[:, window], masked), f"{block}attn.attn_scores", "the future is masked"
        ),
        _matrix(look, shown, "softmax: the pattern", _hide(pattern[:, window], future), after, "each row adds up to 1"),
    ]
    sentence = (
        f"Each row is a query and each column a key it may look at; row {look.position + 1} is {look.here}. "
        f"What lies to the right of the diagonal is the future, which is masked before the softmax."
    )
    if len(shown) < len(look.ids):
        sentence += f" Shown are tokens {shown.start + 1} to {shown.stop} of {len(look.ids)}."
    if after != f"{block}attn.pattern":
        forced = look.array(f"{block}attn.pattern")[head, window, window]
        title = "after the change: the pattern that goes on"
        matrices.append(_matrix(look, shown, title, _hide(forced, future), f"{block}attn.pattern", "each row adds up to 1"))
    parity = look.parity(after, pattern, head, window)
    return View("matrix", head_title(look, "matrix"), sentence, [*matrices], parity)


def _hide(values: Numbers, masked: Numbers) -> Numbers:
    return np.where(masked, np.nan, values)


def _matrix(look: StageContext, shown: range, title: str, values: Numbers, name: str, legend: str) -> Matrix:
    labels = [look.name(index) for index in shown]
    row = look.position - shown.start
    place = f"{shown.start}:"
    selected = (row, min(most_attended(look) - shown.start, row)) if most_attended(look) >= shown.start else (row, row)
    return Matrix(
        title,
        labels,
        [look.label(index) for index in shown],
        Array.of(values),
        legend,
        ref(name, look.head, place, place),
        selected,
    )
