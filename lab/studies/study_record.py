"""The record of a study: the lines that it writes, their schema, and the record as it is read. No torch.

recorded/NAME.jsonl, which ships with the lab, holds a record for each seed, one after the other, each from `Begun` to `Ended`.
<home>/.studies/ holds NAME.jsonl, the record of the last study that finished here; NAME.new.jsonl while one runs, which takes its
place at the end; NAME.lock and NAME.log. All of it may be deleted while nothing runs.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Annotated, Any, cast

import msgspec
from msgspec import Meta
from msgspec.structs import replace

from lab.experiments.experiment_result import Measure
from lab.runs.home_folder import studies_folder
from lab.runs.metrics_log import LineReader
from lab.runs.run_locks import trainer_lock_is_held
from lab.runs.run_schema import Count, Fraction, Seconds, Sentence, UnixTime, Word

RECORDED = Path(__file__).parent / "recorded"
"""Folder of the results that ship with the lab."""
SENTENCES = Path(__file__).parent / "sentences"
"""Folder of the sentences above the views, NAME.md, a section each."""
MOST_LINES = 200_000
"""Most lines that are kept of a file, so that a damaged one does not fill the memory."""

Real = Annotated[float, Meta(ge=-1e18, le=1e18)]
Whole = Annotated[int, Meta(ge=-(1 << 62), le=1 << 62)]
CellValue = Word | Whole | Real
Row = Annotated[tuple[CellValue, ...], Meta(max_length=20)]


class Begun(msgspec.Struct, tag=True, frozen=True, kw_only=True):
    """The first line: the study and the process at work."""

    study: Word
    seed: Whole
    pid: Count
    host: Word
    cores: Count
    time: UnixTime


class Plot(msgspec.Struct, tag=True, frozen=True):
    """A view with curves: its title, its axes in words, and the range of y where it is known."""

    view: Word
    title: Word
    x: Word
    y: Word
    low: Real | None = None
    high: Real | None = None


class Point(msgspec.Struct, tag=True, frozen=True):
    """A point of one curve of a plot."""

    view: Word
    series: Word
    x: Real
    y: Real


class Rows(msgspec.Struct, tag=True, frozen=True):
    """A view with a table; a later line of the same view replaces it."""

    view: Word
    title: Word
    columns: Annotated[tuple[Word, ...], Meta(max_length=20)]
    rows: Annotated[tuple[Row, ...], Meta(max_length=500)]


class Measured(msgspec.Struct, tag=True, frozen=True):
    """Numbers, words and truth values by name: guesses and figures in a lesson's text use them."""

    values: dict[Word, bool | Whole | Real | Sentence]


class Done(msgspec.Struct, tag=True, frozen=True):
    """The share of the work that is done."""

    share: Fraction


class Ended(msgspec.Struct, tag=True, frozen=True, kw_only=True):
    """The last line."""

    is_finished: bool
    seconds: Seconds
    """Of processor time: other programs do not lengthen it."""
    message: Sentence = ""
    """The reason, if it is not finished."""


Line = Begun | Plot | Point | Rows | Measured | Done | Ended


class Record:
    """The seed of a study, and the methods that write its record."""

    def __init__(self, write: Callable[[Line], None], seed: int = 1) -> None:
        self._write = write
        self.seed = seed
        """All randomness of the study comes from it."""

    def plot(
        self, view: str, title: str, *, x: str, y: str = "right answers", low: float | None = 0.0, high: float | None = 1.0
    ) -> None:
        """Declare a view with curves. Views are turned in the order in which they are declared."""
        self._write(Plot(view, title, x, y, low, high))

    def point(self, view: str, series: str, x: float, y: float) -> None:
        """Add a point to a curve of a plot."""
        self._write(Point(view, series, float(x), float(y)))

    def table(self, view: str, title: str, columns: Sequence[str], rows: Sequence[Sequence[str | int | float]]) -> None:
        """Show a table, in place of an earlier one of this view."""
        self._write(Rows(view, title, tuple(columns), tuple(map(tuple, rows))))

    def measure(self, **values: Measure) -> None:
        """Record measures by name, in place of earlier ones of that name."""
        self._write(Measured(values))

    def done(self, share: float) -> None:
        """Say how much is done, 0 to 1. Like all that writes, it ends the study where that was asked for."""
        self._write(Done(min(1.0, max(0.0, share))))


@dataclass
class StudyHistory:
    """All lines of one record, sorted."""

    begun: Begun | None = None
    views: dict[str, Plot | Rows] = field(default_factory=dict)
    """In the order in which they were declared."""
    curves: dict[str, dict[str, list[tuple[float, float]]]] = field(default_factory=dict)
    """Points by view and series."""
    measures: dict[str, Measure] = field(default_factory=dict)
    share: float = 0.0
    ended: Ended | None = None
    lines: int = 0

    def add(self, lines: Sequence[Line]) -> None:
        for line in lines[: MOST_LINES - self.lines]:
            if isinstance(line, Begun):
                self.begun = line
            elif isinstance(line, Plot | Rows):
                self.views[line.view] = line
            elif isinstance(line, Point):
                self.curves.setdefault(line.view, {}).setdefault(line.series, []).append((line.x, line.y))
            elif isinstance(line, Measured):
                self.measures.update(line.values)
            elif isinstance(line, Done):
                self.share = line.share
            else:
                self.ended = line
        self.lines += len(lines)


def histories_of(path: Path) -> list[StudyHistory]:
    """The records in a file, one for each seed; none where there is no file."""
    found = list[StudyHistory]()
    for line in _reader(path).read()[:MOST_LINES]:
        if isinstance(line, Begun) or not found:
            found.append(StudyHistory())
        found[-1].add([line])
    return found


def history_of(path: Path) -> StudyHistory:
    """The last record in a file; an empty one where there is none."""
    return (histories_of(path) or [StudyHistory()])[-1]


def recorded_seeds(name: str) -> list[StudyHistory]:
    """The result of a study that ships with the lab, a record for each seed."""
    return histories_of(RECORDED / f"{name}.jsonl")


def sentences_of(name: str) -> dict[str, str]:
    """The sentence above each view of a study; `lab.lessons.conditions.fill` puts its figures in."""
    path = SENTENCES / f"{name}.md"
    sections = path.read_text(encoding="utf-8").split("\n## ")[1:] if path.exists() else []
    return {view: " ".join(text.split()) for view, _, text in (section.partition("\n") for section in sections)}


def same_tables(seeds: Sequence[StudyHistory], view: str) -> list[Rows]:
    """A table of all seeds, if it has numbers and these alone depend on the seed; else none."""
    tables = [table for each in seeds if isinstance(table := each.views.get(view), Rows)]
    words = [[[value for value in row if isinstance(value, str)] for row in table.rows] for table in tables]
    numbers = [value for table in tables for row in table.rows for value in row if not isinstance(value, str)]
    return tables if numbers and all(each == words[0] for each in words) else []


def median_of(seeds: Sequence[StudyHistory]) -> StudyHistory:
    """The medians of recorded seeds. A table of which not all seeds have the words is that of the first seed."""
    found, first = StudyHistory(begun=seeds[0].begun, ended=seeds[0].ended), seeds[0]
    for name, view in first.views.items():
        rows = zip(*(table.rows for table in same_tables(seeds, name)), strict=True)
        medians = tuple(tuple(map(_median, zip(*row, strict=True))) for row in rows)
        found.views[name] = replace(view, rows=medians) if medians and isinstance(view, Rows) else view
    for name, curves in first.curves.items():
        for series in curves:
            points = zip(*(each.curves[name][series] for each in seeds), strict=True)
            found.curves.setdefault(name, {})[series] = [
                (median(x for x, _ in each), median(y for _, y in each)) for each in points
            ]
    found.measures = {name: _median([each.measures[name] for each in seeds]) for name in first.measures}
    return found


def _median(values: Sequence[Any]) -> Any:
    """The median of numbers, of words the first."""
    return values[0] if isinstance(values[0], str) else median(values)


def _reader(path: Path) -> "LineReader[Line]":
    return LineReader(path, cast(type[Begun], Line))


class StudyFiles:
    """The files of one study in a home."""

    def __init__(self, name: str, home: Path) -> None:
        self.name = name
        self.folder = studies_folder(home)
        self.path = self.folder / f"{name}.jsonl"
        self.new_path = self.folder / f"{name}.new.jsonl"
        self.lock_path = self.folder / f"{name}.lock"
        self.log_path = self.folder / f"{name}.log"

    def is_running(self) -> bool:
        return trainer_lock_is_held(self.lock_path)


class StudyFollower:
    """Reads the record to show as it grows: that of the study that runs, else the last one of here, else the recorded ones."""

    def __init__(self, files: StudyFiles) -> None:
        self.files = files
        self.seeds = list[StudyHistory]()
        """The records that ship with the lab."""
        self.history = StudyHistory()
        """The record of here; where there is none, the medians of `seeds`."""
        self.is_running = False
        """As of the last `read`."""
        self.is_recorded = False
        """True if there is no record of here."""
        self.problem = ""
        """The reason why a study that was started here last did not finish."""
        self._lines: LineReader[Line] | None = None

    @property
    def next_seed(self) -> int:
        """The seed of the next study here: the first that neither was recorded nor ran here last."""
        begun = [each.begun for each in (*self.seeds, self.history) if each.begun is not None]
        return max((each.seed for each in begun), default=0) + 1

    def read(self) -> bool:
        """Read on; True if something has changed."""
        before = (self.is_running, self.is_recorded, self._path, self.problem)
        self.seeds = self.seeds or recorded_seeds(self.files.name)
        self.is_running = self.files.is_running()
        path = self.files.new_path if self.is_running else self.files.path
        self.is_recorded = not self.is_running and not path.exists()
        self.problem = "" if self.is_running else self._problem()
        if path != self._path or self._lines is None or self.is_recorded != before[1]:
            self._lines, self.history = _reader(path), StudyHistory()
        new = self._lines.read()
        if self._lines.restarted:
            self.history = StudyHistory()
        if self.is_recorded:
            self.history = median_of(self.seeds) if self.seeds else StudyHistory()
        else:
            self.history.add(new)
        return bool(new) or self._lines.restarted or before != (self.is_running, self.is_recorded, self._path, self.problem)

    @property
    def _path(self) -> Path | None:
        return self._lines.path if self._lines is not None else None

    def _problem(self) -> str:
        """Only a study that did not finish leaves its record behind under this name."""
        if not self.files.new_path.exists():
            return ""
        ended = history_of(self.files.new_path).ended
        return ended.message if ended is not None else "It was interrupted."
