"""Softmax tables whose printed numbers reproduce each other: exp, Σ and softmax can be checked with a pocket calculator.

Attention scores, next-token logits and the lesson's own numbers all go through here. Nothing here needs torch.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from lab.core.number_format import fixed, probability, significant
from lab.views.blocks import Cell, Column, Table

MORE_DECIMALS = 4
"""Extra decimals that a column may get, until the printed row reproduces its result."""

SMALL, SMALL_DIGITS = 0.01, 2
"""A share below this is written with so many significant figures: rows of an untrained model would all read <0.1%."""

FAR_ABOVE, FAR_BELOW = 10.0, -6.0
"""exp of a maximum beyond these has more digits than there is room for: it is then subtracted first, as the model does."""

Reference = Callable[[str, int | None], str]
"""Name of a number, from its column (raw, score, shifted, exp, softmax) and its row, None standing for the sum."""


@dataclass(frozen=True)
class Others:
    """The row of all that the table does not list, so that the sum is complete: its label and its Σ exp(score − max)."""

    label: str
    exp_sum: float


@dataclass(frozen=True)
class Titles:
    label: str = "key"
    raw: str = "q·k"
    score: str = "score"
    softmax: str = "softmax"


def softmax(scores: Sequence[float] | np.ndarray) -> np.ndarray:
    """exp(s − max) / Σ over the last axis, in float64; −inf gives exactly 0."""
    scores = np.asarray(scores, dtype=np.float64)
    exps: np.ndarray = np.exp(scores - scores.max(axis=-1, keepdims=True))
    shares: np.ndarray = exps / exps.sum(axis=-1, keepdims=True)
    return shares


def softmax_table(
    labels: Sequence[str],
    scores: Sequence[float] | np.ndarray,
    *,
    raw: Sequence[float] | np.ndarray | None = None,
    subtract_max: bool = False,
    percent: bool = False,
    others: Others | None = None,
    masked: Sequence[str] = (),
    titles: Titles = Titles(),
    title: str = "",
    ref: Reference = lambda column, row: "",
) -> Table:
    """One row for each score: the score, its exp and its share of the sum of them all, which is the softmax.

    `raw` adds a column of what the scores were scaled from, `subtract_max` the column score − max (always there where the largest
    score is beyond FAR_ABOVE or FAR_BELOW, or where the printed numbers would not reproduce each other without it), `others` a
    last row for what is not listed (its `exp_sum` counts from the listed maximum), `masked` rows that take no part. `percent`
    writes the softmax as 38.9% rather than 0.39.

    Each printed number differs by at most one in its last digit from what the printed numbers before it give; a column gets more
    decimals until that holds.

    Raises:
        ValueError: if there is no score, one is not finite, or the lengths differ.
    """
    values = np.asarray(scores, dtype=np.float64)
    raws = None if raw is None else np.asarray(raw, dtype=np.float64)
    if not len(values) or not np.isfinite(values).all():
        raise ValueError("a softmax needs at least one score, and every score finite")
    if len(labels) != len(values) or (raws is not None and len(raws) != len(values)):
        raise ValueError(f"{len(labels)} labels, {len(values)} scores and {'no' if raws is None else len(raws)} raw scores")
    numbers = _Numbers.of(values, raws, others, subtract_max or others is not None or not FAR_BELOW <= values.max() <= FAR_ABOVE)
    decimals = _decimals(numbers, percent)
    if numbers.shifted is None and not _reproduces(numbers, decimals, percent):  # as where every exp is far below 1
        numbers = _Numbers.of(values, raws, others, True)
        decimals = _decimals(numbers, percent)

    rows = [_row(numbers, decimals, percent, label, row, ref) for row, label in enumerate(labels)]
    if others is not None:
        rows.append(_others_row(numbers, decimals, percent, others))
    rows += [_masked_row(numbers, label) for label in masked]
    columns = [Column(titles.label, align="left")]
    if raws is not None:
        columns.append(Column(titles.raw, optional=1))
    columns.append(Column(titles.score))
    if numbers.shifted is not None:
        columns.append(Column("− max", optional=2))
    columns += [Column("exp", optional=3), Column(titles.softmax)]
    return Table(
        columns=columns,
        rows=rows,
        title=title,
        total=[
            Cell("Σ"),
            *_blanks(numbers),
            Cell(fixed(numbers.total, decimals.total), value=numbers.total, ref=ref("exp", None)),
            Cell("100%" if percent else "1.00", value=1.0),
        ],
        selected=int(values.argmax()),
    )


def with_shares(table: Table, scores: Sequence[float]) -> Table:
    """A softmax table with a column before exp: each score's plain share of the sum of all scores, undefined where that is 0."""
    total = sum(scores)
    at = next(index for index, column in enumerate(table.columns) if column.title == "exp")
    shares = [Cell(fixed(score / total, 2), value=score / total) if total else Cell("÷ 0") for score in scores]
    columns = [*table.columns[:at], Column("score ÷ Σ"), *table.columns[at:]]
    rows = [[*row[:at], share, *row[at:]] for row, share in zip(table.rows, shares, strict=True)]
    sums = None if table.total is None else [*table.total[:at], Cell(f"Σ {fixed(total, 2)}"), *table.total[at:]]
    return Table(columns, rows, table.title, sums, table.selected)


@dataclass(frozen=True)
class _Numbers:
    """The columns, exact. `exps` has one more entry than the others where there are others."""

    raw: np.ndarray | None
    score: np.ndarray
    shifted: np.ndarray | None
    exps: np.ndarray
    total: float

    @classmethod
    def of(cls, score: np.ndarray, raw: np.ndarray | None, others: Others | None, subtract_max: bool) -> "_Numbers":
        shifted = score - score.max() if subtract_max else None
        exps = np.exp(score if shifted is None else shifted)
        if others is not None:
            exps = np.append(exps, others.exp_sum)
        return cls(raw, score, shifted, exps, float(exps.sum()))

    @property
    def shares(self) -> np.ndarray:
        return self.exps / self.total


@dataclass(frozen=True)
class _Decimals:
    score: int
    exp: int
    total: int


def _decimals(numbers: _Numbers, percent: bool) -> _Decimals:
    """The fewest decimals with which the printed numbers reproduce each other, starting from the usual ones."""
    usual = 3 if percent else 2
    candidates = [
        _Decimals(score, exp, total)
        for exp in range(usual, usual + MORE_DECIMALS)
        for total in range(usual, exp + 1)
        for score in ((exp,) if numbers.shifted is not None else range(exp, exp + 2 * MORE_DECIMALS))
    ]
    return next((each for each in candidates if _reproduces(numbers, each, percent)), candidates[-1])


def _reproduces(numbers: _Numbers, decimals: _Decimals, percent: bool) -> bool:
    """True if exp, Σ and softmax, recomputed from the printed numbers before them, agree to one in the last digit."""
    before = np.round(numbers.score if numbers.shifted is None else numbers.shifted, decimals.score)
    small = percent & _has_few_figures(numbers.exps, numbers.shares, decimals.exp)
    exps = np.where(small, [float(f"{exp:.{SMALL_DIGITS}e}") for exp in numbers.exps], np.round(numbers.exps, decimals.exp))
    total, units = round(numbers.total, decimals.total), _share_units(numbers.shares, percent)
    return (
        total > 0
        and _close(np.exp(before), exps[: len(before)], 10.0**-decimals.exp)
        and _close(exps.sum(), total, 10.0**-decimals.total)
        and _close(exps / total, np.round(numbers.shares / units) * units, units)
    )


def _close(a: np.ndarray | float, b: np.ndarray | float, unit: np.ndarray | float) -> bool:
    return bool(np.all(np.abs(a - b) <= 1.0000001 * unit))


def _share_units(shares: np.ndarray, percent: bool) -> np.ndarray:
    """One unit of the last digit that each share is printed with."""
    usual = np.full(len(shares), 1e-3 if percent else 1e-2)
    small = percent & (shares > 0) & (shares < SMALL)
    figures = np.floor(np.log10(shares, where=small, out=np.zeros_like(shares)))
    return np.where(small, np.maximum(10.0 ** (figures + 1 - SMALL_DIGITS), np.finfo(float).tiny), usual)


def _share(p: float, percent: bool) -> str:
    return probability(p, digits=SMALL_DIGITS) if percent else fixed(p, 2)


def _exp(exp: float, share: float, decimals: int, percent: bool) -> str:
    """An exp as text, with one figure more than its share where that is small."""
    few = percent and bool(_has_few_figures(np.array(exp), np.array(share), decimals))
    return significant(exp, SMALL_DIGITS + 1) if few else fixed(exp, decimals)


def _has_few_figures(exps: np.ndarray, shares: np.ndarray, decimals: int) -> np.ndarray:
    """Mask of small shares whose exp, with so many decimals, has too few figures to give the share."""
    return (exps > 0) & (exps < 10.0 ** (SMALL_DIGITS - decimals)) & (shares < SMALL)


def _row(numbers: _Numbers, decimals: _Decimals, percent: bool, label: str, row: int, ref: Reference) -> list[Cell]:
    cells, share = [Cell(label)], float(numbers.shares[row])
    for name, column, places in (
        ("raw", numbers.raw, decimals.score),
        ("score", numbers.score, decimals.score),
        ("shifted", numbers.shifted, decimals.score),
        ("exp", numbers.exps, decimals.exp),
    ):
        if column is not None:
            value = float(column[row])
            text = _exp(value, share, places, percent) if name == "exp" else fixed(value, places)
            cells.append(Cell(text, value=value, ref=ref(name, row)))
    cells.append(Cell(_share(share, percent), value=share, ref=ref("softmax", row), bar=share))
    return cells


def _blanks(numbers: _Numbers) -> list[Cell]:
    """Empty cells for the columns between the label and exp."""
    return [Cell("") for column in (numbers.raw, numbers.score, numbers.shifted) if column is not None]


def _others_row(numbers: _Numbers, decimals: _Decimals, percent: bool, others: Others) -> list[Cell]:
    share = float(numbers.shares[-1])
    return [
        Cell(others.label, style="dim"),
        *_blanks(numbers),
        Cell(_exp(others.exp_sum, share, decimals.exp, percent), value=others.exp_sum, style="dim"),
        Cell(_share(share, percent), value=share, bar=share, style="dim"),
    ]


def _masked_row(numbers: _Numbers, label: str) -> list[Cell]:
    cells = [Cell(label, style="masked"), *_blanks(numbers), Cell("", style="masked"), Cell("masked", style="masked")]
    cells[-3 if numbers.shifted is None else -4] = Cell("masked", style="masked")
    return cells
