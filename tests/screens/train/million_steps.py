"""A run of a million steps, as Train meets it: how long attaching takes, what it costs in memory, and how long a picture takes.

    python tests/screens/train/million_steps.py [STEPS]

Writes a run of that many steps into a temporary folder, opens it in the lab without a terminal, and prints one line per figure.
"""

import asyncio
import os
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import msgspec
import psutil

from lab.runs.run_folder import Run

ROOT = Path(__file__).parents[3]
sys.path[:0] = [str(ROOT)]

STEPS = 1_000_000
EVERY = 1000
"""Steps between evaluations."""


def say(what: str, figure: float, unit: str) -> None:
    print(f"{what:<62}{figure:>10.1f} {unit}")


def timed(action: Callable[[], object], times: int = 5) -> float:
    """Milliseconds of processor time, the least of so many tries."""
    found = []
    for _ in range(times):
        began = time.process_time()
        action()
        found.append(time.process_time() - began)
    return 1000 * min(found)


async def measure(run: Run) -> None:
    from lab.runs.run_follower import RunFollower
    from screens.app import LabApp
    from screens.messages import RunChosen
    from screens.plot.draw_figure import draw
    from tests.screens.conftest import metric_at

    process = psutil.Process()
    app = type("App", (LabApp,), {"DEFAULT_MODE": "train"})(preload=False)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.pause(1.0)
        before = process.memory_info().rss
        screen = app.screen
        began = time.perf_counter()
        app.post_message(RunChosen("long", "train"))
        screen.making = False
        while screen.watched is None:
            await asyncio.sleep(0.005)
        await pilot.pause()
        say("attach, from the key to the whole curve", 1000 * (time.perf_counter() - began), "ms")
        attached = process.memory_info().rss
        say("memory that the run takes in the lab", (attached - before) / 1e6, "MB")
        view = screen.view
        curves = view.plots
        say("the curve at 120x40, drawn", timed(lambda: draw(curves.losses(()), 88, 24)), "ms")
        say("three small panels, drawn", timed(lambda: [draw(figure, 38, 13) for figure in curves.panels()]), "ms")
        other = type(curves)(screen.watched, replace(view.plot_view, x="time", bits=True, log_y=True))
        say("the curve by time, in bits per byte, logarithmic", timed(lambda: draw(other.losses(()), 88, 24)), "ms")
        say("another smoothing, the first time", timed(lambda: curves.history.smoothed(1 / 5, 1000), 1), "ms")
        say("all that a reading changes on the screen", timed(lambda: view.show(screen.watched)), "ms")
        follower = RunFollower(run)
        say("reading the whole file, processor time alone", timed(follower.read, 1), "ms")
        attached = process.memory_info().rss
        with run.metrics_path.open("ab") as file:
            encode = msgspec.json.Encoder().encode
            for step in range(run.config.train.steps + 1, run.config.train.steps + 2001):
                file.write(encode(metric_at(step, EVERY)) + b"\n")
                if step % 10 == 0:
                    file.flush()
                    curves.history.add(follower.read().metrics)
                    draw(curves.losses(()), 88, 24)
        say("memory more after 200 further readings and pictures", (process.memory_info().rss - attached) / 1e6, "MB")


def main() -> None:
    steps = int(sys.argv[1]) if len(sys.argv) > 1 else STEPS
    from tests.screens.conftest import write_run

    with tempfile.TemporaryDirectory() as home:
        os.environ["LLMLAB_HOME"] = home
        run = write_run(Path(home), "long", step=steps, steps=steps, evaluate_every=EVERY)
        say(f"metrics.jsonl of {steps:,} steps", run.metrics_path.stat().st_size / 1e6, "MB")
        asyncio.run(measure(run))


if __name__ == "__main__":
    main()
