"""Benchmark results: rows of figures, and the report that holds them."""

import msgspec


class BenchRow(msgspec.Struct, frozen=True, omit_defaults=True):
    """One figure. `value` is in `unit`; `ratio` compares it with the one named in `against`, measured in turns."""

    group: str
    name: str
    value: float | None = None
    unit: str = ""
    ratio: float | None = None
    against: str = ""
    note: str = ""


class BenchReport(msgspec.Struct, frozen=True, kw_only=True):
    """The results of one `llmlab bench`."""

    date: str
    """Local time in ISO 8601, to the second."""
    machine: str
    cores: int
    torch: str
    load: float
    """Load average of the minute before it began. Above 0, other processes were running."""
    seconds: float
    rows: list[BenchRow]
