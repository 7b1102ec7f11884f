"""The effect of interventions on a prediction: ranks and probabilities before and after, and the KL divergence.

The numbers come from the logits of two traces; nothing here needs torch.
"""

from collections.abc import Callable

import msgspec
import numpy as np

from lab.core.number_format import fixed, probability, probability_change, significant, whole
from lab.inspect.interventions import Interventions, describe_interventions
from lab.views.blocks import Cell, Column, Paragraph, Table, View
from lab.views.number_tables import integer
from lab.views.softmax_table import SMALL_DIGITS, softmax

LISTED = 10
"""Most probable tokens listed of the distribution before, and as many of that after."""


class Change(msgspec.Struct):
    """One candidate for the next token, before and after. Ranks count from 1."""

    id: int
    label: str
    before: float
    after: float
    rank_before: int
    rank_after: int


class Effect(msgspec.Struct):
    """The next token's distribution at one position without the interventions and with them."""

    words: str
    """The interventions, in words."""
    here: str
    """The token at the position, quoted."""
    position: int
    vocab_size: int
    kl: float
    """KL(before ‖ after) in bits, over the whole vocabulary."""
    changes: list[Change]
    """The most probable tokens before or after, by falling probability before."""
    others_before: float
    """Probability of all other tokens together."""
    others_after: float
    step: int | None = None
    """Training step of the weights; None where it is not known."""

    @property
    def first_before(self) -> Change:
        return next(change for change in self.changes if change.rank_before == 1)

    @property
    def first_after(self) -> Change:
        return next(change for change in self.changes if change.rank_after == 1)


class Cost(msgspec.Struct):
    """The loss of ordinary text, in nats, without directions in the stream and with them."""

    part: str
    before: float
    after: float
    error: float
    """Standard error of the difference, over windows of the part of the text."""
    low: float
    high: float
    """The lowest and highest loss with directions by chance in their places, as long."""
    step: int

    @property
    def in_short(self) -> str:
        before, after, low, high = (fixed(each, 2) for each in (self.before, self.after, self.low, self.high))
        return f"loss {before} → {after}, by chance {low}–{high}"

    @property
    def in_words(self) -> str:
        loss, by_chance = self.in_short.split(", by chance ")
        return f"{self.part}: {loss} (± {fixed(self.error, 2)}), directions by chance, as long, {by_chance}"


def kl_bits(before: np.ndarray, after: np.ndarray) -> float:
    """KL(p ‖ q) = Σ p (log2 p − log2 q) of the softmaxes p and q of two rows of logits (V,), in bits and float64.

    Kullback & Leibler 1951: expected extra bits of a code for q where p is true; 0 where they agree.
    """
    logs = [row - row.max() - np.log(np.exp(row - row.max()).sum()) for row in (np.float64(before), np.float64(after))]
    return max(0.0, float((np.exp(logs[0]) * (logs[0] - logs[1])).sum() / np.log(2)))


def effect(before: np.ndarray, after: np.ndarray, label: Callable[[int], str], words: str, here: str, position: int) -> Effect:
    """The effect, from the logits (V,) without and with the interventions."""
    p, q = softmax(before), softmax(after)
    listed = list(dict.fromkeys([*_order(p)[:LISTED].tolist(), *_order(q)[:LISTED].tolist()]))
    listed.sort(key=lambda id_: (-p[id_], id_))
    ranks = [_ranks(each) for each in (p, q)]
    changes = [Change(id_, label(id_), float(p[id_]), float(q[id_]), int(ranks[0][id_]), int(ranks[1][id_])) for id_ in listed]
    others = [float(np.delete(each, listed).sum()) for each in (p, q)]
    return Effect(words, here, position, len(p), kl_bits(before, after), changes, others[0], others[1])


def _order(p: np.ndarray) -> np.ndarray:
    """Ids by falling probability, the lower id first on a tie."""
    return np.argsort(-p, kind="stable")


def _ranks(p: np.ndarray) -> np.ndarray:
    """The rank of every id, 1 for the most probable."""
    ranks = np.empty(len(p), dtype=np.int64)
    ranks[_order(p)] = np.arange(1, len(p) + 1)
    return ranks


def in_short(effect: Effect) -> str:
    """`“ fast” 41.2% → 12.0%, now “ home” 33.1%`."""
    first, then = effect.first_before, effect.first_after
    words = f"“{first.label}” {probability(first.before)} → {probability(first.after)}"
    return words if then is first else f"{words}, now “{then.label}” {probability(then.after)}"


def sentence(effect: Effect) -> str:
    """One sentence on the top token, and the KL divergence."""
    first, then = effect.first_before, effect.first_after
    lead = f"{effect.words[:1].upper()}{effect.words[1:]}: after {effect.here}"
    if then.id != first.id:
        says = (
            f"{lead} the model predicts “{then.label}” ({probability(then.after)}, before {probability(then.before)}) instead of "
            f"“{first.label}” ({probability(first.before)} before, now {probability(first.after)})."
        )
    elif probability(first.before) == probability(first.after):
        says = f"{lead} the model still predicts “{first.label}”, {probability(first.before)} as before."
    else:
        says = (
            f"{lead} the model still predicts “{first.label}”, but gives it {probability(first.after)} instead of "
            f"{probability(first.before)}."
        )
    return f"{says} {kl_sentence(effect.kl)}"


def kl_sentence(kl: float) -> str:
    if kl == 0:
        return "KL(before ‖ after) = 0 bits: no change."
    return f"KL(before ‖ after) = {significant(kl)} bits."


def effect_view(effect: Effect, made: Interventions) -> View:
    """Probabilities and ranks before and after, side by side."""
    columns = [Column("token", "left"), *map(Column, ("before", "after", "change", "rank", "→ rank"))]

    def cells(before: float, after: float, style: str = "") -> list[Cell]:
        was, now, change = probability_change(before, after, digits=SMALL_DIGITS)
        return [
            Cell(was, before, bar=before, style=style),
            Cell(now, after, bar=after, style=style),
            Cell(change, after - before, style=style),
        ]

    rows = [
        [
            Cell(change.label, style="strong" if change is effect.first_after else ""),
            *cells(change.before, change.after),
            integer(change.rank_before),
            integer(change.rank_after),
        ]
        for change in effect.changes
    ]
    rest = effect.vocab_size - len(effect.changes)
    if rest:
        others = cells(effect.others_before, effect.others_after, "dim")
        rows.append([Cell(f"{whole(rest)} others", style="dim"), *others, Cell(""), Cell("")])
    table = Table(
        columns,
        rows,
        title=f"position {effect.position + 1} predicts token {effect.position + 2}; change in percentage points",
        total=[Cell("Σ"), Cell("100%", 1.0), Cell("100%", 1.0), Cell("0"), Cell(""), Cell("")],
        selected=effect.changes.index(effect.first_after),
    )
    note = Paragraph(f"Active: {describe_interventions(made)}. Esc back · x ablate the part at the cursor · u undo")
    return View("effect", "intervention: before | after", sentence(effect), [table, note])
