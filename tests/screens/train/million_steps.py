"""A run of a million steps, as Train meets it: how long attaching takes, what it costs in memory, and how long a picture takes.

    python tests/screens/train/million_steps.py [STEPS]

Writes a run of that many steps into a temporary folder, opens it in the lab without a terminal, and prints one line per figure.
"""

import asyncio
import math
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
from lab.runs.run_schema import DataConfig, Metric, RunConfig, Status, TokenizerConfig, TrainConfig
from models.config import PRESETS

STEPS = 1_000_000
EVERY = 1000
"""Steps between evaluations."""


def metric(step: int) -> Metric:
    """A line as the trainer writes it."""
    loss = round(1.9 + 5.0 * math.exp(-step / 30_000) + 0.2 * math.sin(1.7 * step), 5)
    evaluated = step % EVERY == 0
    return Metric(
        step=step,
        tokens=step * 2048,
        epoch=round(step / 189.3, 5),
        seconds=round(step * 0.123, 3),
        loss=loss if step else None,
        lr=0.00123456 if step else None,
        grad_norm=round(0.5 + 0.1 * math.sin(step), 5) if step else None,
        tokens_per_second=8310.2 if step else None,
        val_loss=round(loss + 0.1, 6) if evaluated else None,
        bits_per_byte=round(loss * 0.6, 6) if evaluated else None,
    )


def write(home: Path, steps: int) -> Run:
    """The run's folder, finished."""
    folder = home / "long"
    folder.mkdir(parents=True)
    sizes = {"bytes": 1_115_394, "characters": 1_115_394, "tokens": 430_000, "split": 387_000}
    data = DataConfig(name="text", source="text", encoding="utf-8", sha256="", train_bytes=1_003_855, val_bytes=111_539, **sizes)
    config = RunConfig(
        name="long",
        created=0.0,
        model=PRESETS["micro"].config(1024),
        tokenizer=TokenizerConfig(kind="bpe", vocab_size=1024),
        data=data,
        train=TrainConfig(steps=steps, eval_every=EVERY),
    )
    (folder / "config.json").write_bytes(msgspec.json.encode(config))
    (folder / "status.json").write_bytes(msgspec.json.encode(Status(phase="finished", step=steps, steps=steps)))
    encode = msgspec.json.Encoder().encode
    with (folder / "metrics.jsonl").open("wb") as file:
        for step in range(steps + 1):
            file.write(encode(metric(step)) + b"\n")
    return Run(folder)


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
    from screens.plot.drawing import draw

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
        curves = view._plots()
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
                file.write(encode(metric(step)) + b"\n")
                if step % 10 == 0:
                    file.flush()
                    curves.history.add(follower.read().metrics)
                    draw(curves.losses(()), 88, 24)
        say("memory more after 200 further readings and pictures", (process.memory_info().rss - attached) / 1e6, "MB")


def main() -> None:
    steps = int(sys.argv[1]) if len(sys.argv) > 1 else STEPS
    with tempfile.TemporaryDirectory() as home:
        os.environ["LLMLAB_HOME"] = home
        run = write(Path(home), steps)
        say(f"metrics.jsonl of {steps:,} steps", run.metrics_path.stat().st_size / 1e6, "MB")
        asyncio.run(measure(run))


if __name__ == "__main__":
    main()
