"""`llmlab bench`: speed of training, generation and tracing on this machine, against its limits and other projects."""

import os
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import click

from lab.cli.completion import TEXT
from lab.cli.output import passing_line, table, write_json
from lab.core.atomic_io import os_error_in_words
from lab.core.number_format import duration, significant
from lab.core.safe_open import make_private_folder
from lab.core.visible_text import visible

if TYPE_CHECKING:
    from lab.bench.bench_suite import ShowProgress
    from lab.bench.timed_process import BenchReport, BenchRow


PREFIX = "nanogpt="
RACE_HELP = (
    "With --against: only race nanoGPT's CPU recipe on TEXT for equal time. With --gpu, without "
    "a checkout: tinyshakespeare, for nanoGPT's recipe."
)


def _checkout(context: click.Context, parameter: click.Parameter, value: str | None) -> Path | None:
    if value is None:
        return None
    folder = Path(value.removeprefix(PREFIX)).expanduser().absolute()
    if not value.startswith(PREFIX) or not os.path.isfile(folder / "model.py"):
        raise click.BadParameter(f"it must be {PREFIX}DIR, where DIR holds nanoGPT's model.py")
    return folder


@click.command(short_help="Measure the speed of training, generation and tracing.")
@click.option("--against", "nanogpt", metavar="nanogpt=DIR", callback=_checkout, help="Compare with a checkout of nanoGPT, too.")
@click.option("--race", type=TEXT, help=RACE_HELP)
@click.option("--gpu", is_flag=True, help="Only measure training on an NVIDIA GPU; with --against beside nanoGPT on it.")
@click.option("--tiny", is_flag=True, help="With --gpu: try its parts on the CPU, in seconds; the figures say nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def bench(nanogpt: Path | None, race: str | None, gpu: bool, tiny: bool, as_json: bool) -> None:
    """Measure the speed of training, generation and tracing against this machine's limits, in two to three minutes.

    Compared processes take turns, and ratios are medians over the turns, so that they hold on a busy machine, too; tokens/s
    hold for a quiet one.
    """
    from lab.bench.timed_process import comparison
    from lab.runs.home_folder import home

    if tiny and not gpu:
        raise click.UsageError("--tiny is for --gpu.")
    if race is not None and nanogpt is not None and gpu:
        raise click.UsageError("--race and --against exclude each other with --gpu: nanoGPT's recipe is on its own text.")
    if race is not None and nanogpt is None and not gpu:
        raise click.UsageError("--race needs --against nanogpt=DIR, or --gpu.")
    if nanogpt is not None:
        comparison("nanogpt_race")  # refused at once, not after minutes
    with ended_by_signals(), progress_line() as say:
        report = measured(lambda: _rows(nanogpt, race, home(), say, gpu, tiny))
    if as_json:
        write_json(report)
    else:
        click.echo(described(report))
        if tiny:
            click.echo("\nThis was a trial of the parts on a tiny model: its figures say nothing.")


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """Context in which SIGTERM and SIGHUP end the measurement as Ctrl-C does: with the processes that it has started."""

    def end(number: int, frame: FrameType | None) -> None:
        sys.exit(128 + number)

    before = {
        number: signal.signal(number, end)
        for number in (signal.SIGTERM, signal.SIGHUP)
        if signal.getsignal(number) is signal.SIG_DFL
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _rows(nanogpt: Path | None, race: str | None, home: Path, say: "ShowProgress", gpu: bool, tiny: bool) -> "Iterator[BenchRow]":
    """The suite's rows, or those of the race or of the training on a GPU alone."""
    from lab.bench.bench_suite import BenchSuite

    try:
        make_private_folder(home)
    except OSError as error:
        raise os_error_in_words(error, f"keep what is measured in {home}") from error
    if gpu:
        from lab.bench.bench_suite import TINY, GpuSuite, GpuWork

        return GpuSuite(home, say, nanogpt, race, TINY if tiny else GpuWork()).rows()
    if race is not None and nanogpt is not None:
        from lab.bench.timed_process import load_comparison

        rows: Iterator[BenchRow] = load_comparison("nanogpt_race").run(nanogpt, race, say)
        return rows
    return BenchSuite(home, say, nanogpt).rows()


def measured(rows: "Callable[[], Iterable[BenchRow]]") -> "BenchReport":
    """The report of these rows, with the facts of the machine and how busy it was before."""
    from importlib.metadata import version

    from lab.bench.timed_process import BenchReport
    from lab.core.machine import cores, processor

    load, started = os.getloadavg()[0], time.monotonic()
    date = time.strftime("%Y-%m-%dT%H:%M:%S")
    found = list(rows())
    return BenchReport(
        date=date,
        machine=processor(),
        cores=cores(),
        torch=version("torch"),
        load=load,
        seconds=round(time.monotonic() - started, 1),
        rows=found,
    )


@contextmanager
def progress_line() -> Iterator["ShowProgress"]:
    """One line on a terminal's stderr with the current measurement; nothing elsewhere."""
    started = time.monotonic()
    with passing_line(sys.stderr) as show:
        yield lambda words: show(f"{duration(time.monotonic() - started)}  measuring {visible(words)} …")


def described(report: "BenchReport") -> str:
    parts = [
        f"{report.machine}, {report.cores} cores, torch {report.torch}; measured in {duration(report.seconds)}, "
        f"{'on a quiet machine' if report.load < 0.3 else f'load {report.load:.1f} before'}"
    ]
    groups: dict[str, list[BenchRow]] = {}
    for row in report.rows:
        groups.setdefault(row.group, []).append(row)
    for group, rows in groups.items():
        values = ["" if row.value is None else f"{significant(row.value)} {row.unit}" for row in rows]
        lines = [(row.name, value, _compared(row), row.note) for row, value in zip(rows, values, strict=True)]
        parts.append(table((group, "", "", ""), lines, right=(1,)))
    return "\n\n".join(parts)


def _compared(row: "BenchRow") -> str:
    if row.ratio is None:
        return ""
    return f"{row.ratio:.0%} of {row.against}" if "limit" in row.against else f"{significant(row.ratio)} × {row.against}"
