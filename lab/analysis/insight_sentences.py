"""Insights of a training in words: update ratios of parts, and head scores, measured on random tokens that are repeated once.

The second half of such a sequence of tokens can be predicted only by finding the same place in the first (Olsson et al. 2022,
"In-context Learning and Induction Heads"). With r repeated tokens and the
pattern A of a head, rows being queries, the three scores are

    previous    mean over t >= 1 of A[t, t − 1]            attention to the previous token
    duplicate   mean over t >= r of A[t, t − r]            attention to the previous occurrence of the token
    induction   mean over t >= r of A[t, t − r + 1]        attention to the token after that occurrence

each from 0 to 1. They are the stripes that TransformerLens averages; there the induction stripe begins one row earlier, at the
end of the first half, where nothing has been repeated yet.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from lab.core.number_format import fixed, probability, scientific, whole
from lab.runs.run_schema import HEAD_SCORES, HeadScore, PartUpdate
from models.config import OptimizerName

FORMED = 0.3
"""Score from which on a head counts as one of the kind."""
WEAK = 3.0
"""Multiple of the uniform baseline from which on a head below `FORMED` counts as weak."""


def uniform_score(kind: HeadScore, repeated: int) -> float:
    """Uniform baseline: the score of attention spread evenly over all visible tokens, the mean of 1 / (t + 1)."""
    rows = range(1, 2 * repeated) if kind == "previous" else range(repeated, 2 * repeated)
    return sum(1 / (t + 1) for t in rows) / len(rows) if rows else 0.0


@dataclass(frozen=True)
class StrongestHead:
    """The head with the highest score of one kind; layer and head are zero-indexed."""

    kind: HeadScore
    layer: int
    head: int
    score: float

    @property
    def name(self) -> str:
        return head_name(self.layer, self.head)


def head_name(layer: int, head: int) -> str:
    """Name of a head on screen: layer and head, counted from 1."""
    return f"{layer + 1}.{head + 1}"


def strongest_head(kind: HeadScore, scores: Sequence[Sequence[float]]) -> StrongestHead:
    """The strongest head of the scores [layer][head], which must not be empty."""
    score, layer, head = max((score, -layer, -head) for layer, row in enumerate(scores) for head, score in enumerate(row))
    return StrongestHead(kind, -layer, -head, score)


def scores_sentence(step: int, repeated: int, scores: dict[HeadScore, Sequence[Sequence[float]]]) -> str:
    """The strongest induction head at this step, and the previous-token head that it builds on."""
    if not repeated:
        return "No head scores: the text has too few different tokens for a repeated random sequence."
    best = {kind: strongest_head(kind, scores[kind]) for kind in HEAD_SCORES}
    found = best["induction"]
    level = uniform_score("induction", repeated)
    pays = f"of its attention to the token that followed the same token before (spread evenly: {probability(level)})."
    pays = f"pays {probability(found.score)} {pays} Measured on random tokens, given twice in a row."
    if found.score >= FORMED:
        words = f"An induction head has formed: at step {whole(step)} head {found.name} {pays}"
    elif found.score >= WEAK * level:
        words = f"A weak induction head: at step {whole(step)} head {found.name} {pays}"
    else:
        words = f"No induction head at step {whole(step)}: even the most similar, head {found.name}, {pays}"
    back = best["previous"]
    if back.score < FORMED:
        return words
    return f"{words} Head {back.name} attends to the previous token ({probability(back.score)}), which induction builds on."


def score_since_sentence(kind: HeadScore, steps: Sequence[float], scores: Sequence[float], repeated: int) -> str:
    """The score now, and the evaluation since which it has stayed above `FORMED`."""
    if not scores:
        return ""
    since = len(scores)
    while since and scores[since - 1] >= FORMED:
        since -= 1
    now = fixed(scores[-1], 2)
    if since == len(scores):
        return f"{kind} {now} (uniform {fixed(uniform_score(kind, repeated), 2)})"
    return f"{kind} {now}, above {FORMED:g} since step {whole(int(steps[since]))}"


USUAL: dict[OptimizerName, float] = {"adamw": 1e-3, "muon": 1e-2}
"""Usual ratio of each optimizer, about. AdamW's is a rule of thumb of Stanford's CS231n ("Neural Networks Part 3", ratio of
weights to updates). Muon's is measured: half-way through runs with the default learning rate, matrices are at 0.7e-2 to 1e-2."""
FAR = 10.0
"""Factor above or below from which on a ratio is mentioned."""


def describe_part(part: str) -> str:
    """A part in a sentence: `layer 1's attention` for `1 attention`."""
    number, _, kind = part.partition(" ")
    return f"layer {number}'s {kind}" if number.isdecimal() else part


def updates_sentence(step: int, parts: Sequence[PartUpdate], optimizer: OptimizerName = "adamw") -> str:
    """The parts that change most and least at this step, the part with the largest gradient, and the rule of thumb."""
    ratios = [(part.ratio, part.part) for part in parts if part.ratio is not None]
    if not ratios:
        if not step:
            return "No step had been taken yet."
        why = "it was not applied, or training ended before an evaluation was due"
        return f"The update at step {whole(step)} was not measured: {why}."
    (low, least), (high, most) = min(ratios), max(ratios)
    words = f"The update at step {whole(step)} changes {describe_part(most)} most, by {scientific(high)} of its size, "
    words += f"{describe_part(least)} least, by {scientific(low)}"
    total = sum(part.grad_norm**2 for part in parts)
    if total:
        largest = max(parts, key=lambda part: part.grad_norm)
        words += f"; {probability(largest.grad_norm**2 / total, 0)} of the squared gradient is in {describe_part(largest.part)}"
    about = scientific(USUAL[optimizer]).replace(".0", "")
    usual = f"With Muon about {about} is usual" if optimizer == "muon" else f"A healthy ratio is about {about}"
    if high > FAR * USUAL[optimizer]:
        usual += ", this is far more: usual in the first steps, later a sign of too high a learning rate"
    elif high < USUAL[optimizer] / FAR:
        usual += ", this is far less: usual at the end, when the learning rate has fallen"
    elif optimizer == "muon":
        usual += ", in proportion to the learning rate"
    return f"{words}. {usual}."
