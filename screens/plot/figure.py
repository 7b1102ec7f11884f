"""What a plot shows: series of points, and the events of a run on the x axis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from lab.core.float_columns import Floats
from lab.runs.run_schema import EventKind

Kind = Literal["dots", "line", "marks", "level"]

LEGEND_SIGNS: dict[Kind, str] = {"dots": "⠂⠁⠄", "line": "⠤⠒⠤", "marks": "◆", "level": "╌╌"}
EVENT_SIGNS: dict[EventKind, tuple[str, str]] = {
    "checkpoint": ("▴", "saved"),
    "resume": ("▸", "resumed"),
    "pause": ("‖", "paused"),
    "stop": ("■", "stopped"),
    "micro_batch": ("½", "less memory"),
    "bad_step": ("✗", "bad step"),
    "early_stop": ("◂", "early stop"),
    "best": ("★", "best"),
    "back": ("↶", "went back"),
}
"""Sign on the axis and word in the legend of what happened to a run; where two fall on one place, the later here is seen."""

MOST_RUNS = 5
"""Runs that can be told apart in one plot."""
RUN_ROLES = tuple(f"run{number}" for number in range(MOST_RUNS))


@dataclass(frozen=True, eq=False)
class Series:
    """One curve. `name` and `short` are its words in the legend, the short one where there is little room. A level's short words
    stand on its line too."""

    name: str
    short: str
    kind: Kind
    role: str
    """Component class that colours it: `train`, `raw`, `validation` or `level`; `run0` and on where several runs are drawn."""
    xs: Sequence[float] | Floats
    ys: Sequence[float] | Floats
    sign: str = ""
    """One character that stands for its marks instead of the usual one."""
    dashes: tuple[int, int] | None = None
    """So many cells of a line are drawn, then so many left out, so that lines are told apart without colour."""


@dataclass(frozen=True, eq=False)
class Figure:
    """All that a plot shows. Two figures with the same `version` are the same."""

    series: tuple[Series, ...]
    version: object
    x_label: str = ""
    log_y: bool = False
    empty: str = "Nothing to plot yet."
    events: tuple[tuple[float, EventKind], ...] = ()
    """What happened, and where on the x axis it is marked."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Figure) and (self.version, self.empty) == (other.version, other.empty)

    def __hash__(self) -> int:
        return hash((self.version, self.empty))
