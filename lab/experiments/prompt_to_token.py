"""Experiments on the way from a prompt to its next token: its embeddings, the layers, the logits."""

from collections.abc import Sequence

import numpy as np
from rich.cells import cell_len

from lab.core.errors import UserError
from lab.core.number_format import counted, fixed, probability, significant, whole
from lab.experiments.experiment_context import ExperimentContext, Ids
from lab.experiments.experiment_result import ExperimentResult, Measure, experiment
from lab.experiments.sizes import used_in_unembedding
from lab.inspect.stages.logit_lens import logit_lens, residual_streams
from lab.inspect.stages.logits_and_sampling_stage import largest
from lab.inspect.stages.stage_context import StageContext
from lab.views.blocks import Block, Cell, Column, Table, View
from lab.views.number_refs import ref
from lab.views.number_tables import LEFT, Numbers, Series, by_columns, decimals_for, dot_table, figures, integer, number, share
from lab.views.softmax_table import softmax
from models.check import check
from models.tokenizers.token_labels import printable

WIDTH, GAP = 72, 2
"""Least width that labels and lines are made for, the room beside the lessons on a screen of 120 columns; cells between them."""
NUMBERS, TOP = 16, 8
"""Most numbers shown of a vector; most tokens shown of the logits and of their softmax."""


@experiment
def whole_path(context: ExperimentContext) -> ExperimentResult:
    """Measures `tokens`, `width`, `layers`, `vocabulary`, and `next` and `probability` of the most probable token.

    Raises: UserError: if there is no prompt.
    """
    at = context.stage_context()
    tokens = f"→ {counted(len(at.ids), 'token')}"
    width = max(WIDTH, context.width) - GAP - max(len("→ next token"), len(tokens))
    lenses = logit_lens(at)
    probabilities = softmax(at.logits)
    top = largest(at.logits, TOP)
    streams = residual_streams(at.config.layers)
    before, after = lenses[streams[0]].norm, lenses[streams[-1]].norm
    best = at.tokenizer.label(top[0])
    layers = f"{at.config.layers} layers add" if at.config.layers > 1 else "1 layer adds"
    vector = [significant(number) for number in at.row("blocks.0.resid_pre")[:NUMBERS].tolist()]
    logits = [f"“{at.tokenizer.label(id_)}” {significant(float(at.logits[id_]))}" for id_ in top]
    shares = [f"“{at.tokenizer.label(id_)}” {probability(float(probabilities[id_]), digits=2)}" for id_ in top]
    lines = [
        ("text", _last(printable(at.tokenizer.decode_bytes(at.ids)), "", width)),
        (tokens, _last([at.label(i) for i in range(len(at.ids))], "│", width)),
        ("→ ids", _last([str(id_) for id_ in at.ids], "  ", width)),
        ("→ vectors", _first(vector, f" … {whole(at.config.width)} numbers per token", width)),
        ("→ layers", f"{layers} to the vector: norm (length) {significant(before)} → {significant(after)}"),
        ("→ logits", _first(logits, f" … {whole(len(probabilities))} in all", width)),
        ("→ softmax", _first(shares, " … sum 100%", width)),
        ("→ next token", f"“{best}”, the most probable one, with id {top[0]}"),
        ("→ text", _last(printable(at.tokenizer.decode_bytes([*at.ids, top[0]])), "", width)),
    ]
    fitting = (line if cell_len(line) <= width else _first(line, "…", width, "") for _, line in lines)
    table = by_columns("", (LEFT, (Cell(name, style="strong") for name, _ in lines)), (LEFT, fitting))
    measures: dict[str, Measure] = {
        "tokens": len(at.ids),
        "width": at.config.width,
        "layers": at.config.layers,
        "vocabulary": len(probabilities),
        "next": best,
        "probability": float(probabilities[top[0]]),
    }
    shown = probability(float(probabilities[top[0]]), digits=2)
    sentence = f"After {at.here} the model gives “{best}” the highest probability: {shown}."
    return ExperimentResult(View("whole_path", "from text to the next token", sentence, [table]), measures, width=context.width)


def _first(words: Sequence[str], end: str, width: int, between: str = "  ") -> str:
    """The first words with `between` between them, as many as a line holds with its `end`."""
    shown = list(words)
    while len(shown) > 1 and cell_len(between.join(shown) + end) > width:
        shown.pop()
    return between.join(shown) + end


def _last(words: Sequence[str], between: str, width: int) -> str:
    """The last words with `between` between them, as many as a line holds."""
    shown, cut = list(words), ""
    while len(shown) > 1 and cell_len(cut + between.join(shown)) > width:
        del shown[0]
        cut = "… "
    return cut + between.join(shown)


LAYERS_IN_HALVES = 4
"""Layers up to which attention and MLP have a row each; of a deeper model, each layer has one."""


@experiment
def lens_by_layer(context: ExperimentContext) -> ExperimentResult:
    """Measures `answer`, the most probable token, `layers`, and `settled`: the layer (1-based; 0: the embeddings) from which on
    it is the top token of every residual stream shown.

    Raises: UserError: if there is no prompt.
    """
    at = context.stage_context()
    lenses = logit_lens(at)
    halves = at.config.layers <= LAYERS_IN_HALVES
    streams = residual_streams(at.config.layers)
    shown = [name for name in streams if halves or not name.endswith("resid_mid")]
    answer = at.tokenizer.label(at.answer)
    read = [lenses[name] for name in shown]
    tops = (Cell(f"“{each.top.label}”", style="strong" if each.rank == 1 else "") for each in read)
    norms = (figures(each.added if halves else each.norm, 3) for each in read)
    settled = next((i for i in range(len(shown)) if all(lenses[name].rank == 1 for name in shown[i:])), len(shown) - 1)
    table = by_columns(
        f"logit lens after {at.here}: position {at.position + 1} predicts token {at.position + 2}",
        (Column("after", "left"), map(_place, shown)),
        (Column("top token", "left"), tops),
        ("probability", (share(each.top.probability) for each in read)),
        (f"rank of “{answer}”", (integer(each.rank) for each in read)),
        (Column("norm added" if halves else "norm", optional=1), norms),
    )
    measures: dict[str, Measure] = {
        "answer": answer,
        "layers": at.config.layers,
        "settled": _layer(shown[settled]),
    }
    return ExperimentResult(View("lens_by_layer", "logit lens", _sentence(at, shown[settled], answer), [table]), measures)


def _layer(name: str) -> int:
    """The 1-based layer of a residual stream; 0 for the embeddings."""
    return 0 if name.endswith("resid_pre") else int(name.split(".")[1]) + 1


def _place(name: str) -> str:
    """A residual stream as the part it comes after: `2 attention`, `2 mlp`."""
    if name.endswith("resid_pre"):
        return "embeddings"
    return f"{_layer(name)} {'attention' if name.endswith('resid_mid') else 'mlp'}"


def _sentence(at: StageContext, settled: str, answer: str) -> str:
    if settled.endswith("resid_pre"):
        return f"“{answer}” is the top token from the embeddings on."
    if _layer(settled) == at.config.layers and settled.endswith("resid_post"):
        return f"“{answer}” becomes the top token for good only after the last layer."
    return f"“{answer}” is the top token from {_place(settled)} on."


TOKENS = 128
"""Most tokens whose nearest neighbour is looked for, spread over those that are compared."""
COUNTED_TOKENS = 1 << 20
"""Tokens of the text that are counted at a time."""
TOGETHER = 0.1
"""Rise of the mean cosine from which on rows are said to have moved together."""


@experiment
def nearest_rows(context: ExperimentContext) -> ExperimentResult:
    """Measures `now` and `at_init`, mean cosines of a token of the training text with the nearest other one, their difference
    `moved`, `tokens`, the number looked at, `sample`, these in words, and `never`, a sentence on the tokens that never occur,
    `unused` of them, with `unused_now` and `unused_at_init`, the same two means among them. Where the training text is not at
    hand, or has fewer than two different tokens, all tokens of the vocabulary are compared, and `sample` says so.
    """
    fresh = context.fresh_model().wte.weight.detach().numpy()
    check()
    rows = context.model.wte.weight.detach().float().numpy()
    missing, is_text = "", False
    used, unused = np.arange(len(rows)), np.zeros(0, np.int64)
    try:
        text = context.tokens()[0]
    except UserError as error:
        missing = str(error)
    else:
        counts = _counts(text, len(rows))
        if (counts > 0).sum() > 1:
            used, unused, is_text = np.flatnonzero(counts > 0), np.flatnonzero(counts == 0), True
    among = f"{whole(len(used))} tokens " + ("that occur in the text" if is_text else "of the vocabulary")
    tables = (("random rows, before step 1", fresh), (f"{context.run_name} at step {whole(context.opened.step)}", rows))
    found: list[float] = []
    unused_found: list[float] = []
    for _, table in tables:
        found.append(nearest_cosine(table[used], _spread(len(used))))
        check()
        unused_found.append(nearest_cosine(table[unused], _spread(len(unused))) if len(unused) > 1 else 0.0)
        check()
    tokens = len(_spread(len(used)))
    sample = f"{whole(tokens)} of the {among}" if tokens < len(used) else f"the {among}"
    measures: dict[str, Measure] = {
        "at_init": found[0],
        "now": found[1],
        "moved": found[1] - found[0],
        "tokens": tokens,
        "sample": f"{sample}; the training text is not at hand" if missing else sample,
        "unused": len(unused),
        "never": "",
        "step": context.opened.step,
    }
    columns = [Column("", "left"), Column("mean cosine")]
    shown = [[Cell(name), number(value, 3, bar=value)] for (name, _), value in zip(tables, found, strict=True)]
    if len(unused) > 1:
        measures |= {"unused_at_init": unused_found[0], "unused_now": unused_found[1]}
        before, now = unused_found
        moved = "have moved together" if now - before > TOGETHER else "have mean cosine"
        never = f"{whole(len(unused))} tokens never occur in the text: their rows {moved}"
        measures["never"] = f"{never} ({fixed(before, 3)} at init, {fixed(now, 3)} now)."
        columns.append(Column("tokens that never occur"))
        for row, value in zip(shown, unused_found, strict=True):
            row.append(number(value, 3))
    blocks = [Table(columns, shown, title=f"{sample}, and the nearest of these")]
    sentence = (
        f"On average a token and its nearest neighbour have cosine {fixed(found[1], 2)}; with random rows of the same size it is "
        f"{fixed(found[0], 2)}."
    )
    return ExperimentResult(View("nearest_rows", "how near the nearest token is", sentence, [*blocks]), measures, missing)


def _counts(text: Ids, vocabulary: int) -> Ids:
    """Number of times that each token occurs in the text, (V,), so many tokens of it at a time; ids outside are left out."""
    counts = np.zeros(vocabulary, np.int64)
    for at in range(0, len(text), COUNTED_TOKENS):
        counts += np.bincount(text[at : at + COUNTED_TOKENS], minlength=vocabulary)[:vocabulary]
        check()
    return counts


def _spread(rows: int) -> Ids:
    """At most TOKENS places, evenly spaced over so many rows."""
    places: Ids = np.unique(np.linspace(0, max(0, rows - 1), TOKENS).astype(np.int64))
    return places


def nearest_cosine(table: Numbers, places: Numbers) -> float:
    """Mean over these rows of the largest cosine with another row; a row of zeros has cosine 0 with all."""
    lengths = np.linalg.norm(table, axis=1, keepdims=True)
    units = np.divide(table, lengths, out=np.zeros_like(table), where=lengths > 0)
    cosines = units[places] @ units.T
    cosines[np.arange(len(places)), places] = -np.inf
    return float(cosines.max(1).mean(dtype=np.float64)) if len(table) > 1 else 0.0


LISTED = 5
TERMS = 6


@experiment
def tied_table(context: ExperimentContext) -> ExperimentResult:
    """Measures `logit` of the most probable token, its dot product `dot` in float64, and `tied`: the matrix that makes the logits
    has the storage of the token embedding.

    Raises: UserError: if there is no prompt.
    """
    at = context.stage_context()
    vector = at.row("ln_final.out")  # (C,)
    table = at.weight("wte.weight")  # (V, C)
    top = largest(at.logits, LISTED)
    dots = table[top].astype(np.float64) @ vector
    tied = used_in_unembedding(context.model).data_ptr() == context.model.wte.weight.data_ptr()
    rows, width = table.shape
    label = at.tokenizer.label(top[0])
    measures: dict[str, Measure] = {
        "tied": tied,
        "top": label,
        "logit": float(at.logits[top[0]]),
        "dot": float(dots[0]),
        "vocabulary": rows,
        "width": width,
    }
    sentence = (
        f"The last vector at {at.here} has {whole(width)} numbers. Its dot product with row {whole(top[0])}, that of “{label}”, "
        f"is the logit {fixed(float(dots[0]), 3)}; {whole(rows)} rows give {whole(rows)} logits. "
        + ("The rows are those of the token embedding, stored once." if tied else "The rows are a table of their own.")
    )
    blocks: list[Block] = [_listed(at, top, dots), _written_out(at, top[0], vector, table[top[0]])]
    return ExperimentResult(View("tied_table", "the last vector × the table", sentence, blocks), measures)


def _listed(at: StageContext, top: list[int], dots: Numbers) -> Table:
    shares = softmax(at.logits)
    decimals = decimals_for(dots)
    logits = (number(dot, decimals, ref("logits", at.position, id_)) for dot, id_ in zip(dots, top, strict=True))
    return by_columns(
        f"the {len(top)} largest of {whole(len(shares))}" if len(shares) > len(top) else "",
        (Column("token", "left"), map(at.tokenizer.label, top)),
        ("row", map(whole, top)),
        ("vector · row = logit", logits),
        ("probability", (share(float(shares[id_]), 2, ref("probability", at.position, id_)) for id_ in top)),
    )


def _written_out(at: StageContext, id_: int, vector: Numbers, row: Numbers) -> Table:
    """The dot product of the most probable token, its largest terms first."""
    label = at.tokenizer.label(id_)
    return dot_table(
        f"the logit of “{label}”, {significant(float(at.logits[id_]), 4)}, term by term",
        Series("last vector", vector, lambda index: ref("ln_final.out", at.position, index)),
        Series(f"row of “{label}”", row.astype(np.float64), lambda index: ref("wte.weight", id_, index)),
        "logit",
        ref("logits", at.position, id_),
        shown=TERMS,
        label=lambda index: whole(index + 1),
    )
