"""Two prompts side by side: next token, logit lens layer by layer, and the attention row of one head."""

import numpy as np

from lab.core.number_format import probability, significant
from lab.inspect.intervention_effect import kl_bits
from lab.inspect.stages.logit_lens import logit_lens, residual_streams
from lab.inspect.stages.logits_stage import largest
from lab.inspect.stages.stage_context import StageContext
from lab.views.blocks import Cell, Column, Table, View
from lab.views.number_refs import ref
from lab.views.number_tables import cosine, norm, number
from lab.views.softmax_table import SMALL_DIGITS, softmax
from models.unembed import finish

TOP = 5
"""Most probable tokens listed of each prompt."""
KEYS = 32
"""Keys listed of each attention row, those nearest to the position."""


def two_prompts(first: StageContext, second: StageContext) -> View:
    """The next token of both, the logit lens of both after each step, and the attention row of one head in both."""
    best = [context.tokenizer.label(context.answer) for context in (first, second)]
    p, q = softmax(first.logits), softmax(second.logits)
    sentence = (
        f"Prompt 1: “{best[0]}” ({probability(float(p.max()))}) after {first.here}; prompt 2: “{best[1]}” "
        f"({probability(float(q.max()))}) after {second.here}. "
        f"KL(1 ‖ 2) = {significant(kl_bits(first.logits, second.logits))} bits."
    )
    title = f"prompt 1 | prompt 2 · attention of head {first.layer + 1}.{first.head + 1}"
    return View("compare", title, sentence, [_next(first, second, p, q), _lenses(first, second), _attention(first, second)])


def _next(first: StageContext, second: StageContext, p: np.ndarray, q: np.ndarray) -> Table:
    listed = list(dict.fromkeys([*largest(p, TOP), *largest(q, TOP)]))
    rows = [
        [
            Cell(first.tokenizer.label(id_)),
            Cell(
                probability(float(p[id_]), digits=SMALL_DIGITS),
                float(p[id_]),
                ref("probability", first.position, id_),
                float(p[id_]),
            ),
            Cell(probability(float(q[id_]), digits=SMALL_DIGITS), float(q[id_]), bar=float(q[id_])),
        ]
        for id_ in listed
    ]
    rest = np.ones(len(p), dtype=bool)
    rest[listed] = False
    if rest.any():
        others = float(p[rest].sum()), float(q[rest].sum())
        rows.append([Cell(f"{int(rest.sum()):,} others", style="dim"), *(Cell(probability(x), x, bar=x) for x in others)])
    columns = [Column("next token", align="left"), Column("prompt 1"), Column("prompt 2")]
    return Table(columns, rows, title="next token")


def _lenses(first: StageContext, second: StageContext) -> Table:
    """Logit lens of both prompts after each stage, and the cosine of their residual streams."""
    found = finish(logit_lens(first)), finish(logit_lens(second))
    rows = []
    for name in residual_streams(first.config.layers):
        guesses = [each[name].top for each in found]
        vectors = [context.row(name) for context in (first, second)]
        differ = guesses[0].id != guesses[1].id
        rows.append(
            [
                Cell(_step(name)),
                Cell(guesses[0].label, style="strong" if differ else ""),
                Cell(probability(guesses[0].probability), guesses[0].probability),
                Cell(guesses[1].label, style="strong" if differ else ""),
                Cell(probability(guesses[1].probability), guesses[1].probability),
                Cell("≠" if differ else "="),
                number(cosine(*vectors), 3),
                number(norm(vectors[0] - vectors[1]), 2),
            ]
        )
    columns = [
        Column("after", align="left"),
        Column("prompt 1", align="left"),
        Column(""),
        Column("prompt 2", align="left"),
        Column(""),
        Column("", align="left"),
        Column("cosine"),
        Column("‖1 − 2‖", optional=True),
    ]
    return Table(columns, rows, title="logit lens; cosine of the residual streams")


def _step(stream: str) -> str:
    """The group of stages that ends in a residual stream."""
    _, layer, part = stream.split(".")
    if part == "resid_pre":
        return "embed + position"
    return f"{int(layer) + 1} {'attention' if part == 'resid_mid' else 'mlp'}"


def _attention(first: StageContext, second: StageContext) -> Table:
    """The attention row of one head in both, aligned at the query."""
    rows: list[list[Cell]] = []
    for back in range(min(KEYS, max(first.position, second.position) + 1)):
        rows.insert(0, [*_key(first, back), *_key(second, back)])
    columns = [
        Column("prompt 1", align="left"),
        Column("pattern"),
        Column("prompt 2", align="left"),
        Column("pattern"),
    ]
    head_name = f"head {first.layer + 1}.{first.head + 1}"
    return Table(columns, rows, title=f"attention of {head_name} from {first.here} and from {second.here}")


def _key(context: StageContext, back: int) -> list[Cell]:
    """The key `back` tokens before the query, and its attention."""
    key = context.position - back
    if key < 0:
        return [Cell(""), Cell("")]
    p = float(context.array(f"{context.block}attn.pattern")[context.head, context.position, key])
    return [Cell(context.name(key)), Cell(probability(p), p, bar=p)]
