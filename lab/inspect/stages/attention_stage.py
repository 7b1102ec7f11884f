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


def listed_keys(context: StageContext) -> tuple[list[int], list[int]]:
    """The keys that the head may look at from the position: those to list, in order of position, and those left over.

    Of many, the most attended, the first token and the query itself are listed.
    """
    count = context.position + 1
    if count <= KEYS:
        return list(range(count)), []
    pattern = context.array(context.block + "attn.pattern")[context.head, context.position, :count]
    ranked = dict.fromkeys([0, context.position, *np.argsort(-pattern, kind="stable").tolist()])
    return sorted(list(ranked)[:KEYS]), sorted(list(ranked)[KEYS:])


def head_title(context: StageContext, what: str) -> str:
    return f"{context.place} · attention · head {context.head + 1} · {what}"


def most_attended(context: StageContext) -> int:
    pattern = context.array(context.block + "attn.pattern")[context.head, context.position, : context.position + 1]
    return int(pattern.argmax())


def qkv(context: StageContext) -> View:
    """Query, key and value of the head, how one of their numbers is made, and which dimensions make the largest score."""
    block, head, at, width = context.block, context.head, context.position, context.config.head_width
    q, k, v = (context.heads(f"{block}attn.{part}") for part in "qkv")
    key = most_attended(context)
    query_row, key_row = q[head, at].astype(np.float64), k[head, key].astype(np.float64)
    products = query_row * key_row
    chosen = int(np.abs(products).argmax())
    score = Sum(
        "dimension",
        lambda dimension: str(dimension + 1),
        Series(f"q of {context.label(at).strip()}", query_row, lambda d: ref(f"{block}attn.q", at, head, d)),
        Series(f"k of {context.label(key).strip()}", key_row, lambda d: ref(f"{block}attn.k", key, head, d)),
        "Σ = q·k",
        ref(f"{block}attn.scores_raw", head, at, key),
    ).table(f"the dimensions that make the score of {context.quoted(key)}")
    index = head * width + chosen
    x = context.row(f"{block}ln1.out")
    weight, bias = f"h.{context.layer}.attn.c_attn.weight", f"h.{context.layer}.attn.c_attn.bias"
    projection = Sum(
        "dimension",
        lambda dimension: str(dimension + 1),
        Series("x", x, lambda d: ref(f"{block}ln1.out", at, d)),
        Series("weight", context.weight(weight)[index], lambda d: ref(weight, index, d)),
        f"Σ = q, dimension {chosen + 1}",
        ref(f"{block}attn.q", at, head, chosen),
        float(context.weight(bias)[index]),
        ref(bias, index),
    ).table(f"how dimension {chosen + 1} of q is made")
    names = ref(f"{block}attn.q", at, head), ref(f"{block}attn.k", key, head)
    strips = [
        strip(f"q: what {context.here} asks for", query_row, names[0]),
        strip(f"k: what {context.quoted(key)} offers to be found by", key_row, names[1]),
        strip("q × k, dimension by dimension; added up, the score", products, product(*names)),
        strip(f"k of {context.here} itself", k[head, at], ref(f"{block}attn.k", at, head)),
        strip(f"v: what {context.here} hands on when it is looked at", v[head, at], ref(f"{block}attn.v", at, head)),
    ]
    sentence = (
        f"{context.here} asks with its query, and the key of {context.quoted(key)} answers it best: the {width} products q × k "
        f"add up to {significant(float(products.sum()))}, of which dimension {chosen + 1} gives "
        f"{significant(float(products[chosen]))}."
    )
    return View(
        "qkv", head_title(context, "q, k, v"), sentence, [*strips[:3], score, projection, *strips[3:]], _qkv_parity(context, x)
    )


def _qkv_parity(context: StageContext, x: Numbers) -> Parity:
    """q, k and v of the head at the position, from the weights in float64, against the model's own."""
    head, width, full = context.head, context.config.head_width, context.config.width
    found: list[Parity] = []
    for third, part in enumerate("qkv"):
        rows = slice(third * full + head * width, third * full + (head + 1) * width)
        weight = context.weight(f"h.{context.layer}.attn.c_attn.weight")[rows].astype(np.float64)
        bias = context.weight(f"h.{context.layer}.attn.c_attn.bias")[rows]
        found.append(context.parity(f"{context.block}attn.{part}", weight @ x + bias, context.position, head))
    worst = max(found, key=lambda parity: parity.max_delta)
    name = found[0].name.replace("attn.q", "attn.q, k, v")
    return Parity(name, worst.max_delta, sum(parity.count for parity in found))


def scores(context: StageContext) -> View:
    """q·k, ÷√d, − max, exp and softmax of one query, row by row."""
    block, head, at = context.block, context.head, context.position
    raw = context.array(f"{block}attn.scores_raw")[head, at, : at + 1].astype(np.float64)
    scaled = raw / math.sqrt(context.config.head_width)
    hidden = np.isneginf(context.array(f"{block}attn.attn_scores")[head, at, : at + 1])  # by an intervention
    scaled[hidden] = -np.inf
    keys, rest = ([key for key in some if not hidden[key]] for some in listed_keys(context))
    highest = float(scaled[keys].max())
    others = Others(f"{len(rest)} other keys", float(np.exp(scaled[rest] - highest).sum())) if rest else None
    after = context.before(f"{block}attn.pattern", head, at)
    names = {"raw": "scores_raw", "score": "attn_scores", "shifted": "shifted", "exp": "exp"}
    whole = {column: f"{block}attn.{name}" for column, name in names.items()} | {"softmax": after}

    def name(column: str, row: int | None) -> str:
        if row is None:
            return ref(f"{block}attn.sum", head, at)
        return ref(whole[column], head, at, keys[row])

    table = softmax_table(
        [context.name(key) for key in keys],
        scaled[keys],
        raw=raw[keys],
        subtract_max=True,
        percent=True,
        others=others,
        masked=[*(f"{context.name(key)} hidden" for key in np.flatnonzero(hidden).tolist()), *_masked(context)],
        titles=Titles("key", "q·k", "÷√d", "softmax"),
        title=f"from {context.here} (query); d = {context.config.head_width} numbers in q and in k",
        ref=name,
    )
    pattern = softmax(scaled)
    parity = context.parity(after, pattern, head, at, slice(0, at + 1))
    return View("scores", head_title(context, "scores → softmax"), _pays(context, pattern), [table], parity)


def _masked(context: StageContext) -> list[str]:
    future = range(context.position + 1, len(context.ids))
    rows = [context.name(key) for key in future[:MASKED]]
    return [*rows, f"… {len(future) - MASKED} more"] if len(future) > MASKED else rows


def _pays(context: StageContext, pattern: Numbers) -> str:
    if context.position == 0:
        return f"{context.here} is the first token: it can look at nothing but itself, so it pays itself 100% of its attention."
    key = int(pattern.argmax())
    target = "itself" if key == context.position else context.quoted(key)
    sentence = f"{context.here} pays {probability(float(pattern[key]))} of its attention to {target}"
    if key == 0 and context.position > 1:
        sentence += ", the first token"
        if pattern[0] >= SINK:
            sentence += ", on which heads often rest (an attention sink)"
    return sentence + "."


def matrix(context: StageContext) -> View:
    """The scores of every query and key: raw, scaled and masked, and after the softmax."""
    block, head = context.block, context.head
    shown = around(len(context.ids), context.position, WINDOW)
    window = slice(shown.start, shown.stop)
    raw = context.array(f"{block}attn.scores_raw")[head, window, window]
    scaled = context.array(f"{block}attn.attn_scores")[head, window]  # (window, T)
    pattern = softmax(scaled)
    masked = np.isneginf(scaled[:, window])
    future = np.triu(np.ones((len(shown), len(shown)), dtype=bool), 1)
    after = context.before(f"{block}attn.pattern", head)
    matrices = [
        _matrix(context, shown, "q·k, as they are", raw, f"{block}attn.scores_raw", "before masking: every query with every key"),
        _matrix(
            context, shown, "÷√d and masked", _hide(scaled[:, window], masked), f"{block}attn.attn_scores", "the future is masked"
        ),
        _matrix(context, shown, "softmax: the pattern", _hide(pattern[:, window], future), after, "each row adds up to 1"),
    ]
    sentence = (
        f"Each row is a query and each column a key it may look at; row {context.position + 1} is {context.here}. "
        f"What lies to the right of the diagonal is the future, which is masked before the softmax."
    )
    if len(shown) < len(context.ids):
        sentence += f" Shown are tokens {shown.start + 1} to {shown.stop} of {len(context.ids)}."
    if after != f"{block}attn.pattern":
        forced = context.array(f"{block}attn.pattern")[head, window, window]
        title = "after the change: the pattern that goes on"
        matrices.append(_matrix(context, shown, title, _hide(forced, future), f"{block}attn.pattern", "each row adds up to 1"))
    parity = context.parity(after, pattern, head, window)
    return View("matrix", head_title(context, "matrix"), sentence, [*matrices], parity)


def _hide(values: Numbers, masked: Numbers) -> Numbers:
    return np.where(masked, np.nan, values)


def _matrix(context: StageContext, shown: range, title: str, values: Numbers, name: str, legend: str) -> Matrix:
    labels = [context.name(index) for index in shown]
    row = context.position - shown.start
    place = f"{shown.start}:"
    selected = (row, min(most_attended(context) - shown.start, row)) if most_attended(context) >= shown.start else (row, row)
    return Matrix(
        title,
        labels,
        [context.label(index) for index in shown],
        Array.of(values),
        legend,
        ref(name, context.head, place, place),
        selected,
    )
