"""How long a key takes to be painted, measured through a pseudo-terminal: the time from writing the key to reading, in what the
lab draws, a text that only the answer to that key contains. What a view shows comes from the engine, so its time is in it.

    python tests/e2e/key_latency.py                  # while a training saturates the machine
    python tests/e2e/key_latency.py --quiet          # with nothing else going on
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
from collections.abc import Sequence
from pathlib import Path

LLMLAB = Path(sys.executable).with_name("llmlab")
ESCAPES = re.compile(rb"\x1b(?:\[[0-?]*[ -/]*[@-~]|[PX^_\]].*?(?:\x07|\x1b\\)|[@-Z\\-_])", re.DOTALL)
PATIENCE = 30.0
BETWEEN = 0.25
"""Seconds between two keys: a quick hand, and long enough that one answer does not wait for another."""

Key = tuple[str, str]
"""What is typed, and a text that its answer draws."""

MODES: Sequence[Key] = (
    ("2", "▸2 Data◂"),
    ("3", "▸3 Tokens◂"),
    ("4", "▸4 Train◂"),
    ("5", "▸5 Inspect◂"),
    ("6", "▸6 Learn◂"),
    ("1", "▸1 Home◂"),
)
ON_A_SCREEN: Sequence[tuple[str, Sequence[Key]]] = (
    ("home", (("1", "▸1 Home◂"), ("?", "escape closes"), ("?", "your runs"))),
    ("data", (("2", "▸2 Data◂"), ("?", "escape closes"), ("?", "path"))),
    ("train", (("4", "▸4 Train◂"), ("?", "escape closes"), ("?", "step"))),
    ("learn", (("6", "▸6 Learn◂"), ("?", "escape closes"), ("?", "▸6 Learn◂"))),
)
IN_INSPECT: Sequence[Key] = (
    ("j", "· matrix"),
    ("k", "· scores → softmax"),
    ("]", "head 2 ·"),
    ("[", "head 1 ·"),
    ("}", "layer 2 ·"),
    ("{", "layer 1 ·"),
)
TO_THE_SCORES = 4


class Lab:
    """The lab in a pseudo-terminal."""

    def __init__(self, size: tuple[int, int], home: str) -> None:
        self.master, slave = pty.openpty()
        width, height = size
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))
        environment = {**os.environ, "LLMLAB_HOME": home, "TERM": "xterm-256color", "COLORTERM": "truecolor"}
        self._process = subprocess.Popen(
            [LLMLAB], stdin=slave, stdout=slave, stderr=slave, env=environment, start_new_session=True, cwd=home
        )
        os.close(slave)

    def press(self, key: str, answer: str) -> float:
        """Seconds from the key to its answer."""
        self.read(BETWEEN)
        start = time.perf_counter()
        os.write(self.master, key.encode())
        self.wait_for(answer)
        return time.perf_counter() - start

    def wait_for(self, answer: str) -> str:
        """What was drawn up to and with the answer."""
        drawn = b""
        end = time.monotonic() + PATIENCE
        while answer.encode() not in (text := ESCAPES.sub(b"", drawn)):
            if time.monotonic() > end:
                raise SystemExit(f"never saw {answer!r} in:\n{text.decode(errors='replace')}")
            drawn += self.read(0.05, at_once=True)
        return text.decode(errors="replace")

    def read(self, seconds: float, at_once: bool = False) -> bytes:
        """What is drawn within `seconds`; with `at_once`, what comes first."""
        drawn = b""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            if select.select([self.master], [], [], left)[0]:
                drawn += os.read(self.master, 1 << 16)
                if at_once:
                    break
        return drawn

    def close(self) -> None:
        self._process.terminate()
        self._process.wait()
        os.close(self.master)


def measure(lab: Lab, rounds: int) -> dict[str, list[float]]:
    """Seconds by key, each pressed `rounds` times once everything has been visited."""
    for key, answer in MODES:
        lab.press(key, answer)
        lab.read(2.0)
    times: dict[str, list[float]] = {}
    for _ in range(rounds):
        for key, answer in MODES:
            times.setdefault("to another mode", []).append(lab.press(key, answer))
    lab.press("5", "▸5 Inspect◂")
    for name, keys in ON_A_SCREEN:
        for _ in range(rounds):
            lab.press(*keys[0])
            for key, answer in keys[1:]:
                times.setdefault(f"help on {name}, and back", []).append(lab.press(key, answer))
            lab.press("5", "▸5 Inspect◂")
    lab.read(2.0)
    for step in range(TO_THE_SCORES):
        lab.press("j", f"step {step + 2} of")
    lab.press("1", "▸1 Home◂")
    os.write(lab.master, b"5")
    last = int(re.findall(r"position \d+/(\d+)", lab.wait_for("predicts token"))[-1])
    moves = (*IN_INSPECT, ("h", f"position {last - 1}/{last}"), ("l", f"position {last}/{last}"))
    for _ in range(rounds):
        for key, answer in moves:
            times.setdefault("a step or move in Inspect, its view drawn", []).append(lab.press(key, answer))
    return times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", default="120x40")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--quiet", action="store_true", help="train nothing meanwhile")
    parser.add_argument("--preset", default="micro", help="shape of the model that is trained meanwhile")
    options = parser.parse_args()
    width, height = (int(n) for n in options.size.split("x"))
    with tempfile.TemporaryDirectory() as home:
        environment = {**os.environ, "LLMLAB_HOME": home}
        if not options.quiet:
            words = ["train", "stories", "--name", "busy", "--preset", options.preset, "--steps", "1000000", "--detach"]
            subprocess.run([LLMLAB, *words], env=environment, check=True, stdout=subprocess.DEVNULL)
        lab = Lab((width, height), home)
        try:
            lab.wait_for("your runs")
            times = measure(lab, options.rounds)
        finally:
            lab.close()
            if not options.quiet:
                subprocess.run([LLMLAB, "stop", "busy"], env=environment, check=True, stdout=subprocess.DEVNULL)
                time.sleep(3)
    print(f"{options.size}, {'nothing else going on' if options.quiet else 'training ' + options.preset + ' on all cores'}")
    print(f"{'':44}{'keys':>6}{'median':>10}{'95%':>10}{'slowest':>10}")
    times["all of them"] = [each for found in times.values() for each in found]
    for name, found in times.items():
        ordered = sorted(found)
        tail = ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))]
        print(
            f"{name:44}{len(found):>6}{statistics.median(found) * 1e3:>7.0f} ms{tail * 1e3:>7.0f} ms{ordered[-1] * 1e3:>7.0f} ms"
        )


if __name__ == "__main__":
    main()
