"""What a measurement comes to: rows of figures, and the history of them on disk."""

from collections.abc import Iterable
from pathlib import Path

import msgspec

from lab.core.errors import UserError

HISTORY = "bench.jsonl"


class BenchRow(msgspec.Struct, frozen=True, omit_defaults=True):
    """One figure. `value` is in `unit`; `ratio` compares it with what `against` names, measured in turns with it."""

    group: str
    name: str
    value: float | None = None
    unit: str = ""
    ratio: float | None = None
    against: str = ""
    note: str = ""
    size: int | None = None
    """What a figure of `lab.bench.growth_curves` was measured at; those are left out of the plots of the history."""


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the history: everything that one `llmlab bench` found."""

    date: str
    """Local time in ISO 8601, to the second."""
    machine: str
    cores: int
    torch: str
    load: float
    """Processes that wanted a core, averaged over the minute before it began. Above 0 others were at work."""
    seconds: float
    rows: list[BenchRow]


def append(report: Report, home: Path) -> None:
    """Adds a line to the history in `home`, which is made if need be."""
    home.mkdir(parents=True, exist_ok=True)
    with (home / HISTORY).open("ab") as file:
        file.write(msgspec.json.encode(report) + b"\n")


def history(home: Path) -> list[Report]:
    """All reports, oldest first.

    Raises:
        UserError: if there are none, or a line is no report.
    """
    path = home / HISTORY
    try:
        lines = path.read_bytes().splitlines()
    except FileNotFoundError:
        raise UserError(f"Nothing was measured yet: there is no {path}; llmlab bench makes it.") from None
    try:
        return [msgspec.json.decode(line, type=Report) for line in lines if line.strip()]
    except msgspec.DecodeError as error:
        raise UserError(f"{path} cannot be read ({error}); move it away and measure again.") from error


def series(reports: Iterable[Report], machine: str) -> dict[str, list[tuple[str, float]]]:
    """For each row, by `group: name`, its dates and figures on this machine: the ratio where there is one, else the value."""
    found: dict[str, list[tuple[str, float]]] = {}
    for report in reports:
        if report.machine != machine:
            continue
        for row in report.rows:
            figure = row.value if row.ratio is None else row.ratio
            if figure is not None and row.size is None:
                found.setdefault(f"{row.group}: {row.name}", []).append((report.date, figure))
    return found
