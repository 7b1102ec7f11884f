"""Bytes that the lab writes to the terminal for each key in Inspect, measured through a pseudo-terminal, true colour.

python tests/e2e/bytes_per_key.py                    # the demo model with its prompt at 120x40
python tests/e2e/bytes_per_key.py --long --size 200x60
"""

import argparse
import os
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))
from tests.e2e.key_latency import HEADING, Lab, print_row

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
    os.write(lab.master, key.encode())
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
    press(lab, "H")
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", default="120x40")
    parser.add_argument("--long", action="store_true", help="a prompt that fills the context")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as home, Lab(options.size, home) as lab:
        lab.wait_for("demo")
        found = measure(lab, options.long)
    print(f"{options.size}, the demo with {'a prompt of its whole context' if options.long else 'its own prompt'}")
    print(HEADING)
    found["all of them"] = [each for some in found.values() for each in some]
    for kind, counts in found.items():
        print_row(kind, counts)


if __name__ == "__main__":
    main()
