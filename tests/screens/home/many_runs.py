"""How Home opens with many runs in its folder against few: the first paint, the list, and what each look at the folder costs.

    python tests/screens/home/many_runs.py                # 200 runs against 3, in turn
    python tests/screens/home/many_runs.py --runs 1000

The folders are made of files, as the tests of the screens make them; each run has a metrics.jsonl of 2,000 steps. Every opening
is a process of its own in a pseudo-terminal. On a busy machine only the ratios say something: both are measured in turn.
"""

import argparse
import fcntl
import os
import pty
import re
import select
import statistics
import struct
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parents[3]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "screens")]

LLMLAB = Path(sys.executable).with_name("llmlab")
ESCAPES = re.compile(rb"\x1b(?:\[[0-?]*[ -/]*[@-~]|[PX^_\]].*?(?:\x07|\x1b\\)|[@-Z\\-_])", re.DOTALL)
PATIENCE = 30.0
FEW = 3
NEWEST = "run-newest"
"""Stands first in the list, so that its name on the screen says that the list has been read."""


def make_home(place: Path, runs: int) -> None:
    """So many runs at rest; the newest has a name of its own."""
    from conftest import NOW, write_run

    first = write_run(place, NEWEST, created=NOW + runs)
    contents = {path.name: path.read_bytes() for path in first.path.iterdir()}
    for number in range(runs - 1):
        name = f"run-{number}"
        (place / name).mkdir()
        for file, content in contents.items():
            if file == "config.json":
                content = content.replace(f'"{NEWEST}"'.encode(), f'"{name}"'.encode())
                content = content.replace(str(NOW + runs).encode(), str(NOW + number).encode())
            (place / name / file).write_bytes(content)


def open_lab(home: Path) -> tuple[float, float, float]:
    """Seconds from the start to the first paint, and to the list on the screen; then, at rest, from a key to its answer."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
    environment = {**os.environ, "LLMLAB_HOME": str(home), "TERM": "xterm-256color", "COLORTERM": "truecolor"}
    started = time.perf_counter()
    process = subprocess.Popen([LLMLAB], stdin=slave, stdout=slave, stderr=slave, env=environment, start_new_session=True)
    os.close(slave)
    try:
        painted, listed = (moment - started for moment in wait_for(master, "Home", NEWEST))
        drain(master, 3.0)  # until the other screens' modules are imported
        keys = []
        for press, answer in (("j", "▸  run-"), ("k", f"▸  {NEWEST}")) * 10:
            drain(master, 0.23)
            before = time.perf_counter()
            os.write(master, press.encode())
            keys.append(wait_for(master, answer)[0] - before)
    finally:
        process.terminate()
        process.wait()
        os.close(master)
    return painted, listed, statistics.median(keys)


def wait_for(master: int, *answers: str) -> list[float]:
    """The moments at which these texts have been drawn, one after the other."""
    drawn = b""
    end = time.monotonic() + PATIENCE
    moments: list[float] = []
    for answer in answers:
        while answer.encode() not in (text := ESCAPES.sub(b"", drawn)):
            if time.monotonic() > end:
                raise SystemExit(f"never saw {answer!r} in:\n{text.decode(errors='replace')}")
            if select.select([master], [], [], 0.05)[0]:
                drawn += os.read(master, 1 << 16)
        moments.append(time.perf_counter())
    return moments


def drain(master: int, seconds: float) -> None:
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        if select.select([master], [], [], left)[0]:
            os.read(master, 1 << 16)


def looks(home: Path) -> tuple[float, float]:
    """Seconds of the first look at the folder, and of the next ones, which come every second: their median."""
    from lab.runs.run_summary import RunsWatcher

    watcher = RunsWatcher(home)
    first = timed(watcher.read)
    return first, statistics.median(timed(watcher.read) for _ in range(20))


def timed(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    names = ("first paint", "the list is there", "a key in the list", "first look at the folder", "each look after it")
    found: dict[int, list[tuple[float, ...]]] = {FEW: [], options.runs: []}
    with tempfile.TemporaryDirectory() as place:
        for number in found:
            (Path(place) / str(number)).mkdir()
            make_home(Path(place) / str(number), number)
        for _ in range(options.rounds):
            for number, times in found.items():
                home = Path(place) / str(number)
                times.append((*open_lab(home), *looks(home)))
    print(f"median of {options.rounds} rounds{'':10}{FEW:>7} runs{options.runs:>7} runs   ratio")
    for at, name in enumerate(names):
        few, many = (statistics.median(times[at] for times in found[number]) * 1000 for number in found)
        print(f"{name:28}{few:>9.1f} ms{many:>9.1f} ms{many / few:>8.2f}")


if __name__ == "__main__":
    main()
