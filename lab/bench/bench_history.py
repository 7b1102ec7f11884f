"""Benchmark results: rows of figures, and their history on disk, bench.jsonl."""

import os
from collections.abc import Iterable
from pathlib import Path

import msgspec

from lab.core.errors import UserError
from lab.core.safe_open import open_to_append

HISTORY = "bench.jsonl"


class BenchRow(msgspec.Struct, frozen=True, omit_defaults=True):
    """One figure. `value` is in `unit`; `ratio` compares it with the one named in `against`, measured in turns."""

    group: str
    name: str
    value: float | None = None
    unit: str = ""
    ratio: float | None = None
    against: str = ""
    note: str = ""
    size: int | None = None
    """Size of the work, for figures of `tests.lab.bench.growth_curves`; they are left out of the plots of the history."""


class BenchReport(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the history: the results of one `llmlab bench`."""

    date: str
    """Local time in ISO 8601, to the second."""
    machine: str
    cores: int
    torch: str
    load: float
    """Load average of the minute before it began. Above 0, other processes were running."""
    seconds: float
    rows: list[BenchRow]


def append(report: BenchReport, home: Path) -> None:
    """Append a line to the history in `home`, creating the folder if needed."""
    home.mkdir(parents=True, exist_ok=True)
    with os.fdopen(open_to_append(home / HISTORY), "ab") as file:
        file.write(msgspec.json.encode(report) + b"\n")


def history(home: Path) -> list[BenchReport]:
    """All reports, oldest first. Raises UserError if there are none, or a line is no report."""
    path = home / HISTORY
    try:
        lines = path.read_bytes().splitlines()
    except FileNotFoundError:
        raise UserError(f"Nothing was measured yet: there is no {path}; llmlab bench creates it.") from None
    try:
        return [msgspec.json.decode(line, type=BenchReport) for line in lines if line.strip()]
    except msgspec.DecodeError as error:
        raise UserError(f"{path} cannot be read ({error}); move it away and measure again.") from error


def series(reports: Iterable[BenchReport], machine: str) -> dict[str, list[tuple[str, float]]]:
    """Dates and figures of each row on this machine, by `group: name`: the ratio where there is one, else the value."""
    found: dict[str, list[tuple[str, float]]] = {}
    for report in reports:
        if report.machine != machine:
            continue
        for row in report.rows:
            figure = row.value if row.ratio is None else row.ratio
            if figure is not None and row.size is None:
                found.setdefault(f"{row.group}: {row.name}", []).append((report.date, figure))
    return found
