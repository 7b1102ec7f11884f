"""Bytes that the lab writes to the terminal, in true colour, measured through a pseudo-terminal: each second while training is
watched, over SSH as far as the lab can tell; or for each key in Inspect.

python tests/e2e/bytes_written.py                  # a run in training, watched at 80x24 and at 120x40
python tests/e2e/bytes_written.py --seconds 20 --size 200x60
python tests/e2e/bytes_written.py --keys           # the demo model with its prompt
python tests/e2e/bytes_written.py --keys --long --size 200x60
"""

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))
from tests.e2e.key_latency import HEADING, Lab, print_row

RUN = "watched"
TRAIN = ["train", "stories", "--name", RUN, "--preset", "micro", "--steps", "1000000", "--threads", "1", "--detach"]
SIZES = ("80x24", "120x40")
WARM_UP = 5.0
"""Seconds until the screen has drawn the run so far."""
OVER_SSH = {"SSH_CONNECTION": "192.0.2.1 50000 192.0.2.2 22"}


def llmlab(*words: str, home: str) -> None:
    subprocess.run([sys.executable, "-P", "-m", "lab.cli", *words], env=os.environ | {"LLMLAB_HOME": home}, check=True)


def watch(size: str, home: str, seconds: int) -> list[int]:
    """Bytes of each second in Train."""
    with Lab(size, home) as lab:
        lab.wait_for(RUN)
        lab.press("4", "val")
        lab.read(WARM_UP)
        return [len(lab.read(1.0)) for _ in range(seconds)]


PROMPT = (
    "Once there was a big dog named Rex. Rex ran. Then the big dog saw a small cat. The cat was sad. Rex and the cat played in "
    "the park. The sun was warm and the dog was happy. Then they went home"
)
"""About as many tokens as the demo model's context holds."""
QUIET = 0.4
"""Seconds without output after which a key is taken to be answered."""
STEPS_OF_LAYERS = 24
"""From the first stage into the third layer."""


def press(lab: Lab, key: str) -> int:
    """Bytes drawn for the key."""
    lab.type(key)
    total = 0
    while drawn := lab.read(QUIET, at_once=True):
        total += len(drawn)
    return total


def measure(lab: Lab, is_long: bool) -> dict[str, list[int]]:
    """Bytes of each key, by its kind."""
    found: dict[str, list[int]] = {}

    def add(kind: str, keys: str) -> None:
        found.setdefault(kind, []).extend(press(lab, key) for key in keys)

    press(lab, "5")
    lab.read(6.0)
    if is_long:
        for keys in ("e", "\x15", PROMPT, "\r"):
            press(lab, keys)
        lab.read(3.0)
    add("a step", "j" * STEPS_OF_LAYERS)
    press(lab, "v")
    add("a head, all heads in sight", "]]]")
    add("a layer, all heads in sight", "}}{{")
    for place in range(5):
        add("a position", "hhl")
        add("a head", "]][")
        press(lab, "\r")
        add("a number, by the cursor", "jjjllllkkhh")
        press(lab, "\x1b")
        if place < 4:
            press(lab, "k")
    return found


def print_keys(size: str, is_long: bool) -> None:
    with tempfile.TemporaryDirectory() as home, Lab(size, home) as lab:
        lab.wait_for("demo")
        found = measure(lab, is_long)
    print(f"{size}, the demo with {'a prompt of its whole context' if is_long else 'its own prompt'}")
    print(HEADING)
    found["all of them"] = [each for some in found.values() for each in some]
    for kind, counts in found.items():
        print_row(kind, counts)


def print_seconds(sizes: Sequence[str], seconds: int) -> None:
    os.environ |= OVER_SSH
    with tempfile.TemporaryDirectory() as home:
        llmlab(*TRAIN, home=home)
        try:
            for size in sizes:
                counts = watch(size, home, seconds)
                mean = sum(counts) / len(counts)
                print(f"{size:>8}  {mean:,.0f} bytes/s on average, {max(counts):,} in the busiest of {len(counts)} seconds")
        finally:
            llmlab("stop", RUN, home=home)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", action="append", help=f"such as 80x24, may be repeated; without it {' and '.join(SIZES)}")
    parser.add_argument("--seconds", type=int, default=25)
    parser.add_argument("--keys", action="store_true", help="the bytes of each key in Inspect")
    parser.add_argument("--long", action="store_true", help="with --keys: a prompt that fills the context")
    options = parser.parse_args()
    if options.keys:
        for size in options.size or SIZES:
            print_keys(size, options.long)
    else:
        print_seconds(options.size or SIZES, options.seconds)


if __name__ == "__main__":
    main()
