"""Experiments on attention: its softmax by hand and on a row of the model, the mask of later tokens, the length of embeddings."""

import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from lab.core.errors import UserError
from lab.core.number_format import fixed, probability, significant, whole
from lab.experiments.batch_passes import embedded, pattern, patterns, queries_keys_values
from lab.experiments.experiment_context import ExperimentContext
from lab.experiments.experiment_result import ExperimentResult, Measure, experiment
from lab.inspect.stages.stage_context import StageContext
from lab.views.blocks import Array, Block, Column, Matrix, Table, View
from lab.views.number_tables import Numbers, bars, by_columns, figures, share
from lab.views.softmax_table import Others, Titles, softmax, softmax_table
from models.check import check

SCORES = "0.3, 0.8, 1.2, 0.5"
MOST_SCORES = 32
LARGEST_SCORE = 1e6
"""In magnitude: beyond it exp has no digits left to show."""


@experiment
def softmax_ratio(context: ExperimentContext) -> ExperimentResult:
    """Measures `difference` and `ratio` of the softmax of the two largest scores typed, `score_ratio` of the scores themselves
    where they are positive, and `ratio_tenfold` with all scores ten times as large; `own_…` of the two keys that the token at the
    position attends to most, in the chosen layer and head.

    Raises: UserError: if the input `scores` is no list of two numbers or more.
    """
    scores = _scores(context.inputs.get("scores", SCORES))
    labels = [f"score {index + 1}" for index in range(len(scores))]
    blocks: list[Block] = [softmax_table(labels, scores, titles=Titles("", softmax="softmax"), title="the scores, by hand")]
    ratio, difference = _ratio(scores)
    measures: dict[str, Measure] = {"difference": difference, "ratio": ratio, "exp_of_difference": _exp(difference)}
    measures["ratio_tenfold"] = _ratio([10 * score for score in scores])[0]
    second, largest = sorted(scores)[-2:]
    if second > 0:
        measures["score_ratio"] = largest / second
    sentence = (
        f"Scores {significant(difference)} apart have softmax weights in the ratio {significant(ratio)}; "
        f"e^{significant(difference)} = {significant(_exp(difference))}."
    )
    if len(context.prompt) > 1 and context.config.context > 1:
        at = context.stage_context()
        row = at.array(f"{at.block}attn.attn_scores")[at.head, at.position, : at.position + 1]
        own = [float(score) for score in row]
        if len(own) > 1:
            own_ratio, own_difference = _ratio(own)
            measures |= {"own_difference": own_difference, "own_ratio": own_ratio, "own_exp_of_difference": _exp(own_difference)}
            blocks.append(_own_table(at, own))
    return ExperimentResult(View("softmax_ratio", "exp and ratios", sentence, blocks), measures)


def _own_table(at: StageContext, scores: list[float]) -> Table:
    """The softmax of a row of attention scores, the largest first."""
    order = sorted(range(len(scores)), key=lambda index: -scores[index])
    shown, rest = order[:MOST_SCORES], order[MOST_SCORES:]
    left_out = sum(math.exp(scores[index] - scores[order[0]]) for index in rest)
    return softmax_table(
        [at.name(index) for index in shown],
        [scores[index] for index in shown],
        percent=True,
        others=Others(f"{len(rest)} others", left_out) if rest else None,
        title=f"layer {at.layer + 1}, head {at.head + 1}: scores of {at.here}",
    )


def _ratio(scores: list[float]) -> tuple[float, float]:
    """Ratio of the two largest softmax weights, and the difference of their scores."""
    weights = sorted(softmax(scores).tolist(), reverse=True)
    ordered = sorted(scores, reverse=True)
    return (weights[0] / weights[1] if weights[1] else math.inf), ordered[0] - ordered[1]


def _exp(value: float) -> float:
    return math.exp(value) if value < 700 else math.inf


def _scores(text: str) -> list[float]:
    try:
        found = [float(part.replace("−", "-")) for part in text.replace(",", " ").split()]
    except ValueError:
        found = []
    if not 2 <= len(found) <= MOST_SCORES or not all(math.isfinite(score) and abs(score) <= LARGEST_SCORE for score in found):
        raise UserError(f"The scores must be 2 to {MOST_SCORES} numbers with commas between them, such as {SCORES}.")
    return found


TOLERANCE = 1e-9
"""Rounding in float64 is far below it."""
LISTED = 12
"""Keys in the table: those with the highest scores."""


@experiment
def softmax_changes(context: ExperimentContext) -> ExperimentResult:
    """Measures `largest_change`, of any weight when 1 is added to every score, and `risen`, the weights that rise then; `top`,
    the largest weight, `top_doubled`, the same with every score doubled, and `keys`.

    Raises: UserError: if there is no prompt.
    """
    at = context.stage_context()
    scores = at.array(f"{at.block}attn.attn_scores")[at.head, at.position].astype(np.float64)
    scores = scores[np.isfinite(scores)]
    weights, added, doubled = softmax(scores), softmax(scores + 1), softmax(2 * scores)
    top = int(scores.argmax())
    order = np.argsort(-scores, kind="stable")[:LISTED].tolist()
    named = {"weight": weights, "all + 1": added, "all × 2": doubled}
    table = by_columns(
        f"{at.layer_name}, head {at.head + 1}, query {at.here}",
        (Column("key", "left"), map(at.name, order)),
        ("score", (figures(scores[i], 3) for i in order)),
        *((name, map(share, each[order].tolist())) for name, each in named.items()),
    )
    measures: dict[str, Measure] = {
        "largest_change": float(np.abs(added - weights).max()),
        "risen": int((added > weights + TOLERANCE).sum()),
        "top": float(weights[top]),
        "top_doubled": float(doubled[top]),
        "keys": len(scores),
    }
    sentence = (
        f"With 1 added to every score each weight stays as it is. With every score doubled, {at.quoted(top)} goes from "
        f"{probability(float(weights[top]))} to {probability(float(doubled[top]))}."
    )
    return ExperimentResult(View("softmax_changes", "changed scores", sentence, [table]), measures)


SHOWN = 24
"""Tokens of the prompt drawn in the heatmap, the last ones."""


@experiment
def causal_mask(context: ExperimentContext) -> ExperimentResult:
    """Measures over all layers and heads: `later_attention`, the largest weight on a later token, `earlier_change`, the largest
    change of an earlier token's logits when the last token is replaced by another, and `last_change` of the last one's.

    Raises: UserError: if there are fewer than two tokens, or one in the vocabulary.
    """
    ids = context.ids
    if context.config.context < 2:
        raise UserError(f"{context.run_name} sees one token at a time, so there is nothing to mask; choose another run.")
    if len(ids) < 2 or context.config.vocab_size < 2:
        raise UserError("The mask shows from two tokens on: type a longer prompt.")
    given = torch.tensor([ids])
    found = torch.stack([of_layer[0] for of_layer in patterns(context.model, embedded(context.model, given))])  # (L, H, T, T)
    later = torch.ones(len(ids), len(ids), dtype=torch.bool).triu(1)
    changed = torch.tensor([[*ids[:-1], (ids[-1] + 1) % context.config.vocab_size]])
    with torch.no_grad():
        logits = context.model(given)
    check()
    with torch.no_grad():
        change = (logits - context.model(changed)).abs().amax(-1)[0]  # (T,)
    measures: dict[str, Measure] = {
        "tokens": len(ids),
        "patterns": int(found.shape[0] * found.shape[1]),
        "later_attention": float(found[..., later].max()),
        "earlier_change": float(change[:-1].max()),
        "last_change": float(change[-1]),
    }
    shown = found[context.layer, context.head, -SHOWN:, -SHOWN:].numpy().copy()
    if measures["later_attention"] == 0:
        shown[np.triu_indices(len(shown), 1)] = np.nan
    labels = [f"{index + 1} {context.tokenizer.label(id_)}" for index, id_ in enumerate(ids)][-SHOWN:]
    blocks: list[Block] = [
        Matrix(
            f"attention pattern, layer {context.layer + 1}, head {context.head + 1}: row = query, column = key",
            labels,
            [label.split()[0] for label in labels],
            Array.of(shown),
            scale="sequential",
            limit=1.0,
        ),
        by_columns(
            "another last token: largest change of a logit",
            (Column("token", "left"), labels),
            ("change of its logits", bars(change[-SHOWN:].tolist(), 3)),
        ),
    ]
    among = "the only pattern" if measures["patterns"] == 1 else f"all {whole(int(measures['patterns']))} patterns"
    largest = float(measures["later_attention"])
    sentence = (
        f"In {among} the largest weight on a later token is {probability(largest) if largest else 'exactly 0'}. "
        f"Another last token changes the logits of earlier ones by at most "
        f"{significant(float(measures['earlier_change']), 2)}, its own by {significant(float(measures['last_change']), 2)}."
    )
    return ExperimentResult(View("causal_mask", "the causal mask", sentence, blocks), measures)


FEWEST = 4
"""Tokens that are needed: the first token of all receives attention for being first, the last one is seen by no other."""
LONGEST = 128
"""Tokens of a window of the text: longer ones take memory by the square."""
TOKENS = 2048
DOUBLED = 12
"""Tokens whose vectors are doubled, one at a time."""
GROUPS = 5
FACTOR = 2.0


class Received(NamedTuple):
    """Attention that one token receives in layer 1 from later tokens: as it is, and with one of its vectors doubled."""

    name: str
    before: float
    embedding: float
    whole: float


@experiment
def norm_and_attention(context: ExperimentContext) -> ExperimentResult:
    """Measures `correlation` (Pearson) between the length of a token's embedding and the attention that it receives over all
    layers; and the factor by which the attention received in layer 1 grows when its whole input vector is doubled (`doubled`), or
    its token embedding alone (`doubled_embedding`).

    Raises: UserError: if the context is too short, or the run's text cannot be read.
    """
    if context.config.context < FEWEST:
        raise UserError(
            f"The context of {context.run_name} is {context.config.context} of the {FEWEST} tokens that this experiment needs; "
            "choose another run."
        )
    lengths, received = _over_text(context)
    varies = len(lengths) > 2 and float(lengths.std()) > 0 and float(received.std()) > 0
    measures: dict[str, Measure] = {"tokens": len(lengths)}
    if varies:
        measures["correlation"] = float(np.corrcoef(lengths, received)[0, 1])
    doubled = _doubled(context)
    before = sum(each.before for each in doubled)
    measures["doubled"] = sum(each.whole for each in doubled) / before
    measures["doubled_embedding"] = sum(each.embedding for each in doubled) / before
    check()
    blocks: list[Block] = [_doubled_table(doubled), _groups_table(lengths, received)]
    times = f"{fixed(float(measures['doubled']), 2)} times"
    why = ": LayerNorm takes its length away" if abs(float(measures["doubled"]) - 1) < 0.05 else ""
    sentence = f"Doubled, a token's whole input vector receives {times} the attention in layer 1{why}."
    if varies:
        over = f"Over {whole(len(lengths))} tokens, length and attention received correlate by"
        sentence += f" {over} {fixed(float(measures['correlation']), 2)}."
    missing = "" if varies else f"The text of {context.run_name} is too short or too uniform for a correlation."
    return ExperimentResult(View("norm_and_attention", "length and attention", sentence, blocks), measures, missing)


def _over_text(context: ExperimentContext) -> tuple[Numbers, Numbers]:
    """Of each token of windows of the run's text but the first and the last: the length of its embedding, and the attention that
    it receives from later tokens relative to uniform attention, the mean over all layers and heads."""
    tokens = context.affordable(TOKENS, passes=2)
    length = min(context.config.context, LONGEST, tokens)
    rows, _ = context.windows(max(1, tokens // length), length)
    ids = torch.from_numpy(rows[:, :-1])
    tokens = ids.shape[1]
    if tokens < FEWEST:
        raise UserError(f"The text of {context.run_name} has {tokens} tokens; this experiment needs {FEWEST}.")
    total = torch.zeros(ids.shape, dtype=torch.float64)
    for of_layer in patterns(context.model, embedded(context.model, ids)):
        total += relative(of_layer.double().mean(1))
    norms = context.model.wte.weight.detach().norm(dim=-1)[ids]
    return norms[:, 1:-1].flatten().double().numpy(), (total / context.config.layers)[:, 1:-1].flatten().numpy()


def relative(pattern: Tensor) -> Tensor:
    """Attention received (B, T) in patterns (B, T, T): the mean over later queries of the weight times the number of keys of that
    query, so that 1 is uniform attention; 0 for the last token."""
    tokens = pattern.shape[-1]
    keys = torch.arange(1, tokens + 1, dtype=pattern.dtype)
    later = (pattern * keys[:, None]).tril(-1)
    received: Tensor = later.sum(-2) / torch.arange(tokens - 1, -1, -1, dtype=pattern.dtype).clamp(min=1)
    return received


def _doubled(context: ExperimentContext) -> list[Received]:
    """The attention that tokens of the prompt receive in layer 1, doubled in turn; of the run's text if the prompt is short."""
    ids = context.ids[-LONGEST:] if len(context.prompt) >= FEWEST else context.windows(1, LONGEST)[0][0, :-1].tolist()
    chosen = list(range(1, len(ids) - 1))[:DOUBLED]
    model, block = context.model, context.model.blocks[0]
    given = torch.tensor([ids])
    x = embedded(model, given).expand(1 + 2 * len(chosen), -1, -1).clone()
    with torch.no_grad():
        tokens = model.wte(given)[0]
        for index, at in enumerate(chosen):
            x[1 + index, at] += (FACTOR - 1) * tokens[at]
            x[1 + len(chosen) + index, at] *= FACTOR
        q, k, _ = queries_keys_values(block, x)
        received = pattern(q, k, block).mean(1).tril(-1).sum(-2)  # (B, T), a sum over the later queries
    return [
        Received(
            f"{at + 1} {context.tokenizer.label(ids[at])}",
            float(received[0, at]),
            float(received[1 + index, at]),
            float(received[1 + len(chosen) + index, at]),
        )
        for index, at in enumerate(chosen)
    ]


def _doubled_table(received: list[Received]) -> Table:
    most = max(max(each[1:]) for each in received)
    return by_columns(
        "attention received in layer 1 from later tokens, mean of all heads",
        (Column("token", "left"), (each.name for each in received)),
        ("as it is", bars((each.before for each in received), 3, most)),
        (Column("2 × embedding", optional=1), bars((each.embedding for each in received), 3, most)),
        ("2 × whole input", bars((each.whole for each in received), 3, most)),
    )


def _groups_table(lengths: Numbers, received: Numbers) -> Table:
    """Tokens of the text sorted by the length of their embeddings, in groups of one size."""
    order = np.argsort(lengths, kind="stable")
    groups = [group for group in np.array_split(order, GROUPS) if len(group)]
    ranges = (f"{fixed(float(lengths[group].min()), 2)} to {fixed(float(lengths[group].max()), 2)}" for group in groups)
    return by_columns(
        "tokens of the text; 1.00 = uniform attention, mean of all layers and heads",
        (Column("length of the embedding", "left"), ranges),
        (Column("tokens", optional=1), (probability(len(group) / len(order)) for group in groups)),
        ("attention received", bars((received[group].mean() for group in groups), 2)),
    )
