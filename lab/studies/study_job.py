"""Study: its record, the lines that it writes and their schema; the studies there are, the work of one, and its follower. No
torch until the work.

recorded/NAME.jsonl, which ships with the lab, holds a record for each seed, one after the other, each from `Begun` to `Ended`.
"""

import importlib
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Annotated, Any, ClassVar

import msgspec
from msgspec import Meta
from msgspec.structs import replace

from lab.core.atomic_io import replace_atomic
from lab.experiments.experiment_result import Measure
from lab.runs.run_schema import Fraction, Sentence, Word
from lab.training.job import Begun, Ended, History, Job, JobFollower, Write, histories_of, record_work

RECORDED = Path(__file__).parent / "recorded"
"""Folder of the results that ship with the lab."""
SENTENCES = Path(__file__).parent / "sentences"
"""Folder of the sentences above the views, NAME.md, a section each."""

Real = Annotated[float, Meta(ge=-1e18, le=1e18)]
Whole = Annotated[int, Meta(ge=-(1 << 62), le=1 << 62)]
CellValue = Word | Whole | Real
Row = Annotated[tuple[CellValue, ...], Meta(max_length=20)]


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


Line = Begun | Plot | Point | Rows | Measured | Done | Ended


class Record:
    """The seed of a study, and the methods that write its record."""

    def __init__(self, write: Write, seed: int = 1) -> None:
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
class StudyHistory(History):
    """All lines of one record, sorted."""

    LINE: ClassVar[Any] = Line

    views: dict[str, Plot | Rows] = field(default_factory=dict)
    """In the order in which they were declared."""
    curves: dict[str, dict[str, list[tuple[float, float]]]] = field(default_factory=dict)
    """Points by view and series."""
    measures: dict[str, Measure] = field(default_factory=dict)
    share: float = 0.0

    def take(self, line: msgspec.Struct) -> None:
        if isinstance(line, Plot | Rows):
            self.views[line.view] = line
        elif isinstance(line, Point):
            self.curves.setdefault(line.view, {}).setdefault(line.series, []).append((line.x, line.y))
        elif isinstance(line, Measured):
            self.measures.update(line.values)
        elif isinstance(line, Done):
            self.share = line.share


def recorded_seeds(name: str) -> list[StudyHistory]:
    """The result of a study that ships with the lab, a record for each seed."""
    return histories_of(RECORDED / f"{name}.jsonl", StudyHistory)


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


STUDIES = ("chat", "few_shot", "preferences", "spelling", "sums", "unknowns")
"""Modules of this package with a function `study(record)`. To add one, write it, add its name, and call `record_seeds`."""


class StudyRequest(msgspec.Struct, frozen=True):
    """The seed of a study that is to run here."""

    seed: int


class StudyJob(Job):
    """A study that runs here."""

    FOLDER = ".studies"

    def __init__(self, name: str, home: Path) -> None:
        super().__init__(name, home)
        self._earlier_path = self.path.with_name(f"{name}.jsonl")
        """The result of a version whose studies had no folder each."""

    def is_settled(self) -> bool:
        return self.record_path.exists() or not self._earlier_path.exists()

    def settle(self) -> None:
        if not self.is_settled():
            os.rename(self._earlier_path, self.record_path)

    def seed(self, request: bytes) -> int:
        return msgspec.json.decode(request, type=StudyRequest).seed

    def clock(self) -> float:
        """Processor time: other programs do not lengthen it."""
        return time.process_time()

    def work(self, request: bytes, write: Write, poll: Callable[[], None]) -> str:
        return run_study(self.name, self.seed(request), write)


def record_seeds(name: str, path: Path, seeds: Sequence[int]) -> bool:
    """Make a recorded result anew: a record for each seed, in place of what the file holds. False if one did not finish."""
    replace_atomic(path, [])

    def finished(seed: int) -> bool:
        def work(write: Write) -> str:
            return run_study(name, seed, lambda line: None if isinstance(line, Done) else write(line))

        return record_work(path, work, seed=seed, clock=time.process_time).is_finished

    return all(map(finished, seeds))


def run_study(name: str, seed: int, write: Write) -> str:
    """Run a study of this name; return "", as there is nothing to tell of its result. Raises what it raises."""
    study: Callable[[Record], None] = importlib.import_module(f"lab.studies.{name}").study
    import torch

    torch.set_num_threads(1)
    torch.manual_seed(seed)
    study(Record(write, seed))
    return ""


class StudyFollower(JobFollower[StudyHistory]):
    """Reads the record of a study of here, and has the recorded ones beside it."""

    def __init__(self, job: StudyJob) -> None:
        super().__init__(job, StudyHistory)
        self.seeds = list[StudyHistory]()
        """The records that ship with the lab."""
        self.recorded = StudyHistory()
        """Their medians."""

    @property
    def is_recorded(self) -> bool:
        """True if no record of here is shown."""
        return not self.is_running and not self.stands

    @property
    def shown(self) -> StudyHistory:
        """The record of here; where there is none, `recorded`."""
        return self.recorded if self.is_recorded else self.history

    @property
    def names(self) -> list[str]:
        """The views that there are or will be."""
        return list(self.recorded.views | self.history.views if self.is_running else self.shown.views)

    def shown_of(self, view: str) -> StudyHistory:
        """`shown`; of a view to which a study that runs here has not come yet, what was recorded."""
        return self.recorded if self.is_running and view not in self.history.views else self.shown

    @property
    def next_seed(self) -> int:
        """The seed of the next study here: the first that neither was recorded nor finished here last."""
        begun = [each.begun for each in (*self.seeds, self.shown) if each.begun is not None]
        return max((each.seed for each in begun), default=0) + 1

    def read(self) -> bool:
        if not self.seeds and (seeds := recorded_seeds(self.job.name)):
            self.seeds, self.recorded = seeds, median_of(seeds)
        return super().read()
