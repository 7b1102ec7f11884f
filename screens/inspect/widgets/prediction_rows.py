"""Rows of the prediction panel: the most probable next tokens now, and before the interventions where there are any."""

from collections.abc import Sequence
from dataclasses import dataclass

from lab.inspect.intervention_effect import Effect
from lab.views.blocks import Prediction

OTHERS = "others"


@dataclass(frozen=True)
class PredictionRow:
    """One candidate for the next token, or all others together."""

    label: str
    now: float
    before: float | None = None
    """Its probability without the interventions; None where there are none."""
    is_token: bool = True


def rows_now(top: Sequence[Prediction], count: int) -> list[PredictionRow]:
    """The most probable tokens in `count` rows, the last of which is all others."""
    shown = [PredictionRow(each.label, each.probability) for each in top[: max(1, count - 1)]]
    rest = max(0.0, 1 - sum(row.now for row in shown))
    return [*shown, PredictionRow(OTHERS, rest, is_token=False)][:count] if rest > 0 else shown[:count]


def rows_on_a_line(effect: Effect, count: int) -> list[PredictionRow]:
    """The same rows with the most probable token before in second place: on a narrow line only two fit."""
    rows = rows_before_and_after(effect, count)
    first = effect.first_before
    at = next((at for at, row in enumerate(rows) if row.is_token and (row.label, row.now) == (first.label, first.after)), 0)
    return [rows[0], rows[at], *rows[1:at], *rows[at + 1 :]] if at > 1 else rows


def rows_before_and_after(effect: Effect, count: int) -> list[PredictionRow]:
    """The most probable tokens after the interventions, the most probable one before among them, and all others."""
    by_now = sorted(effect.changes, key=lambda change: (-change.after, change.id))
    shown = by_now[: max(1, count - 1)]
    if effect.first_before not in shown and len(shown) > 1:
        shown[-1] = effect.first_before
    unseen = [change for change in by_now if change not in shown]
    others = PredictionRow(
        OTHERS,
        effect.others_after + sum(change.after for change in unseen),
        effect.others_before + sum(change.before for change in unseen),
        is_token=False,
    )
    return [*(PredictionRow(change.label, change.after, change.before) for change in shown), others][:count]
