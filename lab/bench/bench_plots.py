"""Benchmark plots in text: the history of each figure."""

from collections.abc import Sequence

import plotext

from lab.bench.bench_history import BenchReport, series
from lab.core.number_format import significant

WIDTH, HEIGHT = 76, 10


def history_plots(reports: Sequence[BenchReport]) -> str:
    """A plot for each figure measured more than once on the machine of the newest report, and a line for the others."""
    machine = reports[-1].machine
    parts = [f"{machine}: {len([report for report in reports if report.machine == machine])} measurements"]
    for name, points in series(reports, machine).items():
        if len(points) == 1:
            parts.append(f"{name}: {significant(points[0][1])} on {points[0][0][:10]}")
            continue
        plotext.clear_figure()
        plotext.theme("clear")
        plotext.plot_size(WIDTH, HEIGHT)
        plotext.title(name)
        plotext.plot(range(1, len(points) + 1), [figure for _, figure in points], marker="braille")
        plotext.ylim(0, 1.1 * max(figure for _, figure in points))
        plotext.xticks([1, len(points)], [points[0][0][:10], points[-1][0][:10]])
        parts.append(plotext.uncolorize(plotext.build()))
    return "\n".join(parts)
