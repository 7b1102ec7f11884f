"""The content of a plot: series of points, and the events of a run on the x axis; the loss curve of a run as one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from lab.analysis.loss_curve import LossCurve
from lab.runs.run_history import Floats
from lab.runs.run_schema import EventKind

Kind = Literal["dots", "line", "marked", "marks", "level"]
"""`marked` is a line with marks at its points, where these are far enough apart."""

MARK = "◆"
LEGEND_SIGNS: dict[Kind, str] = {"dots": "⠂⠁⠄", "line": "⠤⠒⠤", "marked": "⠤◆⠤", "marks": MARK, "level": "╌╌"}
EVENT_SIGNS: dict[EventKind, tuple[str, str]] = {
    "checkpoint": ("▴", "saved"),
    "resume": ("▸", "resumed"),
    "pause": ("‖", "paused"),
    "stop": ("■", "stopped"),
    "micro_batch": ("½", "micro-batch"),
    "computing": ("≈", "computed otherwise"),
    "bad_step": ("✗", "skipped"),
    "early_stop": ("◂", "early stop"),
    "best": ("★", "best val loss"),
    "back": ("↶", "rollback"),
}
"""Sign on the x axis and word in the legend of each event; of two in one column, the later here is drawn."""

DASHES_WITHOUT_COLOUR = (2, 2)
"""Dashes of the validation loss where its colour does not tell it from the training loss."""

MOST_RUNS = 5
"""Most runs that can be told apart in one plot."""
RUN_ROLES = tuple(f"run{number}" for number in range(MOST_RUNS))


@dataclass(frozen=True, eq=False)
class Series:
    """One curve. `name` and `short` label it in the legend, `short` where there is little room and on the line of a level."""

    name: str
    short: str
    kind: Kind
    role: str
    """Component class that colours it: `train`, `raw`, `validation` or `level`; `run0` and on where several runs are drawn."""
    xs: Sequence[float] | Floats
    ys: Sequence[float] | Floats
    sign: str = ""
    """The character of its marks, instead of the usual one."""
    dashes: tuple[int, int] | None = None
    """Cells drawn and cells left out in turn, so that lines are told apart without colour."""
    in_legend: bool = True


def dashes_of(series: Series, paints: bool) -> tuple[int, int] | None:
    """The dashes of a line: its own; where colours are few, a marked line without letters has some, too."""
    return DASHES_WITHOUT_COLOUR if not paints and series.kind == "marked" and not series.sign else series.dashes


@dataclass(frozen=True, eq=False)
class Area:
    """The area between two curves, shaded behind everything else. `name` and `short` label it in the legend."""

    name: str
    short: str
    xs: Sequence[float] | Floats
    ys: Sequence[float] | Floats
    other_xs: Sequence[float] | Floats
    other_ys: Sequence[float] | Floats


@dataclass(frozen=True, eq=False)
class Figure:
    """The content of a plot. Two figures with the same `version` are equal."""

    series: tuple[Series, ...]
    version: object
    x_label: str = ""
    log_y: bool = False
    auto_log_y: bool = False
    """The scale that shows more of the curves."""
    scale_words: str = ""
    """The scale of y in words, for the legend, where there is a choice."""
    area: Area | None = None
    x_window: tuple[float, float] | None = None
    """Range of x in view; without one, that of all points. A line may have a point on either side of it."""
    y_window: tuple[float, float] | None = None
    """Range of y to show; without one, that of all points in view."""
    empty: str = "Nothing to plot yet."
    events: tuple[tuple[float, EventKind], ...] = ()
    """Position on the x axis, and kind of event."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Figure) and (self.version, self.empty) == (other.version, other.empty)

    def __hash__(self) -> int:
        return hash((self.version, self.empty))


LOG_FROM = 4.0
"""A curve whose highest loss is so many times its lowest is drawn on a logarithmic scale: there it shows more."""


def loss_figure(
    run: Path, curve: LossCurve, evaluations: tuple[tuple[float, float], ...], *, empty: str = "No steps yet."
) -> Figure:
    """Training loss, averaged over neighbouring steps, and validation loss, as pairs of step and loss."""
    steps, losses = tuple(step for step, _ in evaluations), tuple(loss for _, loss in evaluations)
    everything = [loss for loss in (*curve.losses, *losses) if loss > 0]
    is_log = bool(everything) and max(everything) > LOG_FROM * min(everything)
    series = (
        Series("training loss", "train", "line", "train", curve.steps, curve.losses),
        Series("validation", "val", "marked" if len(steps) > 1 else "marks", "validation", steps, losses),
    )
    words = "log y" if is_log else "linear y"
    version = (run, curve, evaluations)
    return Figure(series, version, x_label="steps", log_y=is_log, empty=empty, scale_words=words)
