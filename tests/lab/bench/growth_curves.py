"""Growth curves: time over size (width, layers, context, vocabulary, tokens, runs, points), and the power of the growth.

    python -m tests.lab.bench.growth_curves

The sizes take turns. The power is the slope between the two largest sizes on log-log axes, where fixed costs matter least.
"""

import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, replace
from itertools import groupby
from pathlib import Path

import plotext

from lab.bench.bench_suite import BenchSuite
from lab.bench.timed_process import BenchRow, TimedApp, TimedProcess, time_in_turns
from lab.cli.commands.bench_command import described, ended_by_signals, measured, progress_line
from lab.core.errors import UserError
from lab.core.number_format import significant
from lab.runs.home_folder import demo, home
from models.config import FIXED_VOCABULARY_SIZES, PRESETS

WIDTH, HEIGHT = 76, 14
"""Cells of a plot."""
ROUNDS = 3
TOKENS = 2048
"""Tokens of a training step, for every context."""
BASE = PRESETS["micro"].config(1024)
HEAD_WIDTH = 32
WIDTHS = (64, 128, 256, 512)
LAYERS = (1, 2, 4, 8, 16)
CONTEXTS = (32, 64, 128, 256, 512)
VOCABULARIES = (256, 1024, 4096, 16_384, FIXED_VOCABULARY_SIZES["gpt2"])
TRACED = (16, 64, 256, 1024)
RUNS = (1, 10, 100, 1000)
POINTS = (1_000, 10_000, 100_000, 1_000_000)

LISTED = """
import os
from screens.app import LabApp
class Listed(LabApp):
    def watch_runs(self, runs) -> None:
        if runs:
            self.call_after_refresh(os.write, 1, b"painted\\n")
Listed().run(headless=True, size=(80, 24))
"""
"""The lab, painted once its list of runs is on the screen."""

DRAWING = """
import json, sys, time
import numpy as np
from screens.plot.figure import Figure, Series
from screens.plot.draw_plot import draw
took = []
for points in json.loads(sys.argv[1]):
    xs = np.arange(points, dtype=float)
    ys = 4 + np.random.default_rng(1).random(points)
    curves = Series("loss", "loss", "dots", "raw", xs, ys), Series("mean", "mean", "line", "train", xs, ys)
    figure = Figure(curves, version=points)
    draw(figure, 90, 22)
    started = time.perf_counter()
    for _ in range(5):
        draw(figure, 90, 22)
    took.append((time.perf_counter() - started) / 5)
print(json.dumps(took))
"""


def rows(suite: BenchSuite) -> Iterator[BenchRow]:
    """Measure every figure over every size, in milliseconds."""
    for what, sizes, shapes in (
        ("width", WIDTHS, [replace(BASE, width=n, heads=n // HEAD_WIDTH) for n in WIDTHS]),
        ("layers", LAYERS, [replace(BASE, layers=n) for n in LAYERS]),
        ("context", CONTEXTS, [replace(BASE, context=n) for n in CONTEXTS]),
        ("vocabulary", VOCABULARIES, [replace(BASE, vocab_size=n) for n in VOCABULARIES]),
    ):
        suite.say(f"training steps over {what}")
        trainers = [suite.trainer("", shape, TOKENS // shape.context) for shape in shapes]
        yield from _growth_rows(f"a training step of {TOKENS:,} tokens over {what}", sizes, _milliseconds(trainers, TOKENS))
    suite.say("traces")
    shape = asdict(replace(BASE, context=max(TRACED)))
    traces = [suite.worker("", "tracing", shape=shape, tokens=tokens) for tokens in TRACED]
    yield from _growth_rows("a trace over tokens", TRACED, _milliseconds(traces))
    yield from _growth_rows("opening the lab, its runs listed, over runs", RUNS, _openings(suite))
    yield from _growth_rows("a frame of the loss plot over points", POINTS, _frames(suite))


def _growth_rows(group: str, sizes: Sequence[int], milliseconds: Sequence[float]) -> Iterator[BenchRow]:
    power = math.log(milliseconds[-1] / milliseconds[-2]) / math.log(sizes[-1] / sizes[-2])
    for size, took in zip(sizes, milliseconds, strict=True):
        note = f"between the last two it grows as size^{power:.2f}" if size == sizes[-1] else ""
        yield BenchRow(group, f"{size:,}", took, "ms", took / milliseconds[0], "the first", note)


def _milliseconds(contenders: Sequence[TimedProcess], units: int = 1) -> list[float]:
    """Milliseconds that each takes for so many units of its work."""
    with ExitStack() as working:
        for contender in contenders:
            working.enter_context(contender)
        time_in_turns(contenders, ROUNDS)
    return [1000 * units / contender.throughput for contender in contenders]


def _openings(suite: BenchSuite) -> list[float]:
    found: list[list[float]] = [[] for _ in RUNS]
    with tempfile.TemporaryDirectory() as folder:
        homes = [_home(Path(folder) / str(runs), runs) for runs in RUNS]
        for _ in range(ROUNDS):
            for home, seconds in zip(homes, found, strict=True):
                suite.say(f"opening the lab on {len(list(home.iterdir())):,} runs")
                opened = TimedApp(LISTED, os.environ | {"LLMLAB_HOME": str(home)})
                opened.close()
                seconds.append(1000 * opened.seconds)
    return [statistics.median(seconds) for seconds in found]


def _home(home: Path, runs: int) -> Path:
    """A home with so many runs, which are the demo's files under other names."""
    config = json.loads((demo() / "config.json").read_bytes())
    for number in range(runs):
        run = home / f"run-{number}"
        run.mkdir(parents=True)
        (run / "config.json").write_text(json.dumps(config | {"name": run.name}))
        for file in demo().iterdir():
            if file.name != "config.json":
                (run / file.name).symlink_to(file)
    return home


def _frames(suite: BenchSuite) -> list[float]:
    suite.say("drawing the loss plot")
    drawn = subprocess.run([sys.executable, "-P", "-c", DRAWING, json.dumps(POINTS)], capture_output=True, text=True, check=False)
    if drawn.returncode:
        raise UserError(f"the plot could not be drawn: {drawn.stderr.strip().splitlines()[-1]}")
    return [1000 * seconds for seconds in json.loads(drawn.stdout)]


def growth_plot(rows: Sequence[BenchRow]) -> str:
    """One group of rows on log-log axes, where a power law is a straight line with the power as slope."""
    sizes, figures = [int(row.name.replace(",", "")) for row in rows], [row.value for row in rows]
    plotext.clear_figure()
    plotext.theme("clear")
    plotext.plot_size(WIDTH, HEIGHT)
    plotext.title(f"{rows[0].group}, in ms")
    plotext.xscale("log")
    plotext.yscale("log")
    plotext.plot(sizes, figures, marker="braille")
    plotext.scatter(sizes, figures, marker="●")
    plotext.xticks(sizes, [row.name for row in rows])
    plotext.yticks(figures, [significant(figure) for figure in figures if figure])
    built: str = plotext.uncolorize(plotext.build())
    return built


def main() -> None:
    with ended_by_signals(), progress_line() as say:
        report = measured(lambda: rows(BenchSuite(home(), say)))
    print(described(report))
    for _, group in groupby(report.rows, key=lambda row: row.group):
        print(growth_plot(list(group)))


if __name__ == "__main__":
    main()
