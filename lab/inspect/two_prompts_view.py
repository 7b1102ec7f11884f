"""Two prompts side by side: next token, logit lens layer by layer, and the attention row of one head."""

import numpy as np

from lab.core.colour_scales import Scale
from lab.core.number_format import probability, significant
from lab.inspect.intervention_effect import kl_bits
from lab.inspect.stages.logit_lens import logit_lens, residual_streams
from lab.inspect.stages.logits_and_sampling_stage import largest
from lab.inspect.stages.stage_context import StageContext
from lab.views.blocks import Array, Block, Cell, Column, Matrix, MatrixPanels, Paragraph, StackedStrips, Table, View
from lab.views.number_refs import ref
from lab.views.number_tables import LEFT, around, cosine, norm, number, share, stacked
from lab.views.softmax_table import SMALL_DIGITS, softmax

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
    blocks = [_next(first, p, q), _patterns(first, second), _streams(first, second), _lenses(first, second)]
    return View("compare", title, sentence, [*blocks, _attention(first, second)])


def _patterns(first: StageContext, second: StageContext) -> Block:
    """The head's attention patterns in both prompts and their difference; a sentence where their shapes differ."""
    counts = [len(context.ids) for context in (first, second)]
    if counts[0] != counts[1]:
        return Paragraph(f"Prompt 1 has {counts[0]} tokens, prompt 2 {counts[1]}: their attention patterns differ in size.")
    shown = around(counts[0], first.position, KEYS)
    window = slice(shown.start, shown.stop)
    name = f"{first.block}attn.pattern"
    future = np.triu(np.ones((len(shown), len(shown)), dtype=bool), 1)
    one, two = (np.where(future, np.nan, context.array(name)[first.head, window, window]) for context in (first, second))
    tokens = [(first.label(index), second.label(index)) for index in shown]
    words = [mine if mine == other else f"{mine}|{other.strip()}" for mine, other in tokens]
    numbered = [f"{index + 1:>{len(str(counts[0]))}} {word}" for index, word in zip(shown, words, strict=True)]
    row = first.position - shown.start
    selected = (row, int(np.nan_to_num(np.abs(two - one)[row]).argmax()))
    named = ref(name, first.head, f"{shown.start}:", f"{shown.start}:")

    def panel(title: str, values: np.ndarray, ref_: str, scale: Scale, limit: float | None) -> Matrix:
        return Matrix(title, numbered, words, Array.of(values), "", ref_, selected, scale, limit)

    panels = [
        panel("prompt 1", one, named, "sequential", 1.0),
        panel("prompt 2", two, "", "sequential", 1.0),
        panel("2 − 1", two - one, "", "diverging", None),
    ]
    return MatrixPanels(panels, largest=2)


def _streams(first: StageContext, second: StageContext) -> StackedStrips:
    """The residual streams of both prompts after the layer, and their difference."""
    name = f"{first.block}resid_post"
    one, two = (context.row(name) for context in (first, second))
    vectors = [("prompt 1", one, ref(name, first.position)), ("prompt 2", two, ""), ("2 − 1", two - one, "")]
    return stacked(f"residual stream after {first.layer_name}", vectors)


def _next(first: StageContext, p: np.ndarray, q: np.ndarray) -> Table:
    listed = list(dict.fromkeys([*largest(p, TOP), *largest(q, TOP)]))
    rows = []
    for id_ in listed:
        own = share(float(p[id_]), SMALL_DIGITS, ref("probability", first.position, id_))
        rows.append([Cell(first.tokenizer.label(id_)), own, share(float(q[id_]), SMALL_DIGITS)])
    if rest := len(p) - len(listed):
        others = (float(np.delete(each, listed).sum()) for each in (p, q))
        rows.append([Cell(f"{rest:,} others", style="dim"), *map(share, others)])
    columns = [Column("next token", align="left"), Column("prompt 1"), Column("prompt 2")]
    return Table(columns, rows, title="next token")


def _lenses(first: StageContext, second: StageContext) -> Table:
    """Logit lens of both prompts after each stage, and the cosine of their residual streams."""
    found = logit_lens(first), logit_lens(second)
    rows = []
    for name in residual_streams(first.config.layers):
        guesses = [each[name].top for each in found]
        vectors = [context.row(name) for context in (first, second)]
        differ = guesses[0].id != guesses[1].id
        cells = [Cell(_step(name))]
        for each in guesses:
            cells += [Cell(each.label, style="strong" if differ else ""), Cell(probability(each.probability), each.probability)]
        apart = number(norm(vectors[0] - vectors[1]), 2)
        rows.append([*cells, Cell("≠" if differ else "="), number(cosine(*vectors), 3), apart])
    guessed = [column for prompt in (1, 2) for column in (Column(f"prompt {prompt}", "left"), Column(""))]
    columns = [Column("after", "left"), *guessed, LEFT, Column("cosine"), Column("‖1 − 2‖", optional=1)]
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
    columns = [column for prompt in (1, 2) for column in (Column(f"prompt {prompt}", align="left"), Column("pattern"))]
    head_name = f"head {first.layer + 1}.{first.head + 1}"
    return Table(columns, rows, title=f"attention of {head_name} from {first.here} and from {second.here}")


def _key(context: StageContext, back: int) -> list[Cell]:
    """The key `back` tokens before the query, and its attention."""
    key = context.position - back
    if key < 0:
        return [Cell(""), Cell("")]
    row = context.array(f"{context.block}attn.pattern")[context.head, context.position]
    return [Cell(context.name(key)), share(float(row[key]))]
