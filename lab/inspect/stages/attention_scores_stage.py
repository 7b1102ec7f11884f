"""Attention of one head: queries, keys and values, the scores, and the softmax that makes the attention pattern of them."""

import math

import numpy as np
from msgspec import structs

from lab.core.number_format import probability, significant, whole
from lab.inspect.stages.all_heads_stage import SINK, kind_and_entropy, summary_of
from lab.inspect.stages.stage_context import HEAD_KEYS, PATTERN_CODE, Stage, StageContext
from lab.views.blocks import Array, Block, Cell, Column, HeadAttention, Matrix, MatrixPanels, Parity, Table, View
from lab.views.number_refs import product, ref
from lab.views.number_tables import Numbers, Series, around, dot_table, share, stacked, strip
from lab.views.softmax_table import Others, Titles, softmax, softmax_table

KEYS = 64
"""Keys listed at one time: those with the most attention; the rest is one row."""
MASKED = 4
"""Future keys listed as masked; a last row counts the others."""
WINDOW = 64
"""Rows and columns of a matrix at one time."""
WIDE = 70
"""Columns of the view from which on the chosen query's row is drawn as bars, too: the screen is then taken to be tall enough."""
VERY_WIDE = 130
"""Columns of the view from which on more keys are drawn."""
ALL, MOST = (9, 16), 8
"""Most keys that are all drawn as bars, and that on a very wide screen; of more, so many with the largest attention."""
PATTERNS_CACHED = 200_000
"""Numbers of a layer's patterns up to which they are kept, so that another position computes nothing: GPT-2's of 128 tokens."""


def listed_keys(context: StageContext) -> tuple[list[int], list[int]]:
    """Keys that the position can attend to: those to list, in order of position, and the rest.

    Listed are the most attended, the first token and the query itself.
    """
    count = context.position + 1
    if count <= KEYS:
        return list(range(count)), []
    pattern = context.array(context.block + "attn.pattern")[context.head, context.position, :count]
    ranked = dict.fromkeys([0, context.position, *np.argsort(-pattern, kind="stable").tolist()])
    return sorted(list(ranked)[:KEYS]), sorted(list(ranked)[KEYS:])


def head_title(context: StageContext, what: str) -> str:
    off = context.off("attn.z", context.head)
    return f"{context.layer_name} · attention · head {context.head + 1}{f' {off}' if off else ''} · {what}"


def most_attended(context: StageContext) -> int:
    pattern = context.array(context.block + "attn.pattern")[context.head, context.position, : context.position + 1]
    return int(pattern.argmax())


@Stage(
    "q, k, v",
    "Three matrices make a query, a key and a value of it for each of {heads}.",
    HEAD_KEYS,
    of_head=True,
    code={"gpt.py: Attention.forward": ("qkv =", "q, k, v =")},
)
def qkv(context: StageContext) -> View:
    """Query, key and value of the head, one of their dimensions and the highest score written out."""
    block, head, at, width = context.block, context.head, context.position, context.config.head_width
    q, k, v = (context.heads(f"{block}attn.{part}") for part in "qkv")
    key = most_attended(context)
    query_row, key_row = q[head, at].astype(np.float64), k[head, key].astype(np.float64)
    products = query_row * key_row
    chosen = int(np.abs(products).argmax())
    score = dot_table(
        f"largest terms of the score with {context.quoted(key)}",
        Series(f"q of {context.label(at).strip()}", query_row, lambda d: ref(f"{block}attn.q", at, head, d)),
        Series(f"k of {context.label(key).strip()}", key_row, lambda d: ref(f"{block}attn.k", key, head, d)),
        "Σ = q·k",
        ref(f"{block}attn.scores_raw", head, at, key),
    )
    index = head * width + chosen
    x = context.row(f"{block}ln1.out")
    weight, bias = f"h.{context.layer}.attn.c_attn.weight", f"h.{context.layer}.attn.c_attn.bias"
    projection = dot_table(
        f"dimension {chosen + 1} of q written out",
        Series("x", x, lambda d: ref(f"{block}ln1.out", at, d)),
        Series("weight", context.weight(weight)[index], lambda d: ref(weight, index, d)),
        f"Σ = q, dimension {chosen + 1}",
        ref(f"{block}attn.q", at, head, chosen),
        float(context.weight(bias)[index]),
        ref(bias, index),
    )
    names = ref(f"{block}attn.q", at, head), ref(f"{block}attn.k", key, head)
    strips: list[Block] = [
        stacked(
            f"q of {context.here} × k of {context.quoted(key)}, the key with the highest score",
            [("q", query_row, names[0]), ("× k", key_row, names[1]), ("= q × k", products, product(*names))],
            "Σ q × k = score",
        ),
        strip(f"k of {context.here}", k[head, at], ref(f"{block}attn.k", at, head)),
        strip(f"v of {context.here}", v[head, at], ref(f"{block}attn.v", at, head)),
    ]
    sentence = (
        f"The query of {context.here} has its highest score with the key of {context.quoted(key)}: q·k = "
        f"{significant(float(products.sum()))}. Of its terms, one for each dimension, that of dimension {chosen + 1} is the "
        f"farthest from 0: {significant(float(products[chosen]))}."
    )
    return View("qkv", head_title(context, "q, k, v"), sentence, [*strips, score, projection], _qkv_parity(context, x))


def _qkv_parity(context: StageContext, x: Numbers) -> Parity:
    """q, k and v of the head at the position, from the weights in float64, against the model's own."""
    head, width, full = context.head, context.config.head_width, context.config.width
    found: list[Parity] = []
    for third, part in enumerate("qkv"):
        rows = slice(third * full + head * width, third * full + (head + 1) * width)
        weight = context.weight(f"h.{context.layer}.attn.c_attn.weight")[rows].astype(np.float64)
        bias = context.weight(f"h.{context.layer}.attn.c_attn.bias")[rows]
        found.append(context.parity(f"{context.block}attn.{part}", weight @ x + bias, context.position, head))
    name = found[0].name.replace("attn.q", "attn.q, k, v")
    worst, largest = (max(getattr(parity, each) for parity in found) for each in ("max_delta", "largest"))
    return Parity(name, worst, sum(parity.count for parity in found), largest)


@Stage(
    "scores → softmax",
    "Softmax turns the query's products with the keys into weights that add up to 100%.",
    HEAD_KEYS,
    of_head=True,
    computes="attn.pattern",
    reads="attn.attn_scores",
    code=PATTERN_CODE,
)
def scores(context: StageContext) -> View:
    """The attention row of one query, key by key: q·k, ÷√d, − max, exp, softmax."""
    block, head, at = context.block, context.head, context.position
    raw = context.array(f"{block}attn.scores_raw")[head, at, : at + 1].astype(np.float64)
    scaled = raw / math.sqrt(context.config.head_width)
    hidden = np.isneginf(context.array(f"{block}attn.attn_scores")[head, at, : at + 1])  # by an intervention
    scaled[hidden] = -np.inf
    keys, rest = ([key for key in some if not hidden[key]] for some in listed_keys(context))
    highest = float(scaled[keys].max())
    others = Others(f"{len(rest)} other keys", float(np.exp(scaled[rest] - highest).sum())) if rest else None
    after = context.before(f"{block}attn.pattern", head, at)
    is_before = after != f"{block}attn.pattern"
    before = ", before the intervention" if is_before else ""
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
        title=f"query {context.here}; d = {context.config.head_width} dimensions{before}",
        ref=name,
    )
    pattern = softmax(scaled)
    parity = context.parity(after, pattern, head, at, slice(0, at + 1))
    return View("scores", head_title(context, "scores → softmax"), _sentence(context, pattern, is_before), [table], parity)


def _masked(context: StageContext) -> list[str]:
    future = range(context.position + 1, len(context.ids))
    rows = [context.name(key) for key in future[:MASKED]]
    return [*rows, f"… {whole(len(future) - MASKED)} more"] if len(future) > MASKED else rows


NEARLY_EVEN = 1.5
"""A largest share of attention below so many times an even one says little: the head hardly chooses there."""


def _sentence(context: StageContext, pattern: Numbers, is_before: bool) -> str:
    """The most attended token of the `pattern` (i + 1,) of a query; `is_before`: an intervention changes it afterwards."""
    if context.position == 0:
        return f"{context.here} is the first token: it can attend only to itself (100%)."
    key = int(pattern.argmax())
    target = "itself" if key == context.position else context.quoted(key)
    sentence = "Before the intervention, " if is_before else ""
    sentence += f"{context.here} pays {probability(float(pattern[key]))} of its attention to {target}"
    if key == 0 and context.position > 1:
        sentence += ", a first-token sink" if pattern[0] >= SINK else ", the first token"
    if pattern[key] < NEARLY_EVEN / len(pattern):
        sentence += f"; an even share is {probability(1 / len(pattern))}"
    off = context.off("attn.z", context.head)
    if off == "✗ off":
        sentence += "; the head is off: its output is zero"
    if context.array(f"{context.block}attn.attn_scores")[context.head, context.position, key] < 0:
        sentence += ". Its score is below 0: only differences between scores count"
    return sentence + "."


@Stage(
    "attention pattern",
    "Each row is a token, and shows how head {head} divides its attention among the tokens up to it.",
    HEAD_KEYS,
    of_head=True,
    computes="attn.pattern",
    reads="attn.attn_scores",
    code=PATTERN_CODE,
)
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
    is_before = after != f"{block}attn.pattern"
    title = "before the intervention: softmax" if is_before else "softmax"
    is_narrow = context.width is not None and context.width < WIDE  # the chosen row is to be in sight: a line less above it
    sums = "" if is_narrow else "each row sums to 1"
    matrices = [
        _matrix(context, shown, "q·k", raw, f"{block}attn.scores_raw", "every query with every key"),
        _matrix(
            context,
            shown,
            "÷√d + mask",
            _hide(scaled[:, window], masked),
            f"{block}attn.attn_scores",
            "",
        ),
        _matrix(context, shown, title, _hide(pattern[:, window], future), after, sums),
    ]
    blocks: list[Block] = [MatrixPanels(matrices, largest=2)]
    part = f", tokens {shown.start + 1} to {shown.stop} of {len(context.ids)}" if len(shown) < len(context.ids) else ""
    row = pattern[context.position - shown.start, : context.position + 1]
    if (context.width or 0) >= WIDE:
        blocks.append(row_as_bars(context, row, after))
    sentence = f"{_sentence(context, row, is_before)} Rows are queries, columns are keys{part}."
    if is_before:
        forced = context.array(f"{block}attn.pattern")[head, window, window]
        forced = _hide(forced, future)
        before = structs.replace(matrices[2], title="before")
        with_it = _matrix(context, shown, "after the intervention", forced, f"{block}attn.pattern", sums)
        change = forced - pattern[:, window]
        difference = structs.replace(
            before, title="after − before", values=Array.of(change), ref="", scale="diverging", limit=None, legend=""
        )
        blocks.append(MatrixPanels([before, with_it, difference], largest=2))
    parity = context.parity(after, pattern, head, window)
    return View("matrix", head_title(context, "pattern"), sentence, blocks, parity)


def row_as_bars(context: StageContext, row: Numbers, name: str) -> Table:
    """The attention of the chosen query, `row` (i + 1,) of the pattern called `name`, as bars, the largest first.

    Where an intervention changes the pattern, `row` is the one before it, and the one with it stands beside.
    """
    at, head, with_it = context.position, context.head, f"{context.block}attn.pattern"
    patterns = {name: row}
    if name != with_it:
        patterns[with_it] = context.array(with_it)[head, at, : at + 1].astype(np.float64)
    ranked = np.argsort(-patterns[with_it], kind="stable").tolist()
    most = ALL[(context.width or 0) >= VERY_WIDE]
    shown, rest = (ranked, []) if len(ranked) <= most else (ranked[:MOST], ranked[MOST:])

    places = {0: "first", at - 1: "previous", at: "itself"}
    rows = [
        [
            Cell(context.name(key)),
            Cell(places.get(key, ""), style="dim"),
            *(share(float(p[key]), 2, ref(each, head, at, key)) for each, p in patterns.items()),
        ]
        for key in shown
    ]
    if rest:
        others = (share(float(p[rest].sum()), 2, style="dim") for p in patterns.values())
        rows.append([Cell(f"{len(rest)} other keys", style="dim"), Cell(""), *others])
    titles = ("",) if len(patterns) == 1 else ("before", "after the intervention")
    columns = [Column("", align="left"), Column("", align="left", optional=1), *(Column(title) for title in titles)]
    words = kind_and_entropy(summary_of(patterns[with_it]), at + 1)
    return Table(columns, rows, title=f"{context.here}: {words} · full bar 100%")


def _hide(values: Numbers, masked: Numbers) -> Numbers:
    return np.where(masked, np.nan, values)


def _matrix(context: StageContext, shown: range, title: str, values: Numbers, name: str, legend: str) -> Matrix:
    labels = [context.name(index) for index in shown]
    row = context.position - shown.start
    open_index = f"{shown.start}:"
    selected = (row, min(most_attended(context) - shown.start, row)) if most_attended(context) >= shown.start else (row, row)
    return Matrix(
        title,
        labels,
        [context.label(index) for index in shown],
        Array.of(values),
        legend,
        ref(name, context.head, open_index, open_index),
        selected,
        *(("sequential", 1.0) if "attn.pattern" in name else ("diverging", None)),
    )


def head_attention(context: StageContext) -> HeadAttention:
    """Attention that the token at the position pays to each token and receives from each, in the head of the context."""
    at, head = context.position, context.head
    paid, received = (each[head].copy() for each in rows_and_columns(context))
    paid[at + 1 :] = np.nan
    received[:at] = np.nan
    return HeadAttention(context.layer, head, at, Array.of(paid), Array.of(received))


def rows_and_columns(context: StageContext) -> tuple[Numbers, Numbers]:
    """Of each head of the layer the pattern's row and column at the position, (H, T) each; cached, for the other heads.

    The rest of the layer, which stages outside it do not need, is not computed.
    """
    at, layer = context.position, context.layer

    def patterns() -> Numbers:  # (H, T, T)
        return context.trace.pattern_and_values(layer)[0].numpy()

    if context.config.heads * len(context.ids) ** 2 <= PATTERNS_CACHED:
        kept = context.traced.get_or_compute(("patterns", layer), 0, lambda: patterns().copy())
        return kept[:, at], kept[:, :, at]

    def both() -> tuple[Numbers, Numbers]:
        found = patterns()
        return found[:, at].copy(), found[:, :, at].copy()

    return context.traced.get_or_compute(("attention", layer), at, both)
