"""Key to paint while typing in Tokens, with 20,000 characters in the box, measured through a pseudo-terminal: the time from
writing a key until the number of characters that its answer counts is on the screen, which comes with the tokens.

    python tests/e2e/typing_latency.py                    # 120x40 and 200x60
    python tests/e2e/typing_latency.py --size 80x24 --rounds 10
"""

import argparse
import os
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))
from tests.e2e.key_latency import HEADING, Lab, print_row

CHARACTERS = 20_000
PROSE = "The old king's dog, 12 years of age, ran home; naïve cats (🙂) sat where they were.\n"
CODE = "for place in range(100):\n    if place % 3 == 0:\n        total += place  # 日本語\n"
TEXTS = {
    "lines of prose": PROSE,
    "one line of prose": PROSE.replace("\n", " "),
    "lines of code": CODE,
    "one word": "abc",
    "empty lines": "\n",
}
LETTERS = "a b.c\u00e9"
PLACES = ("end", "start", "middle")
PASTE, PASTE_END = "\x1b[200~", "\x1b[201~"
HOME, UP, DOWN = "\x1b[H", "\x1b[5~", "\x1b[6~"
BACKSPACE = "\x7f"


def go_to(lab: Lab, place: str, rows: int) -> None:
    """Move the cursor by pages of the box, six lines or more: from the end to the start, or from there to the middle."""
    key, times = {"end": (UP, 0), "start": (UP, rows // 5 + 2), "middle": (DOWN, rows // 12)}[place]
    for _ in range(0, times, 20):
        os.write(lab.master, (key * 20).encode())
        lab.read(0.15)
    if place == "start":
        os.write(lab.master, HOME.encode())
    lab.read(1.0)


def counted(text: str, page: str) -> str:
    """The count of a text that a page shows: its characters, or its bytes as tokens."""
    return f" {len(text):,} " if page == "strip" else f" {len(text.encode()):,} tokens"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", action="append")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--page", choices=("strip", "side"), default="strip")
    options = parser.parse_args()
    for size in options.size or ["120x40", "200x60"]:
        print(f"{size}, page {options.page}\n{HEADING}")
        everything: list[float] = []
        for name, part in TEXTS.items():
            text = (part * (CHARACTERS // len(part) + 1))[:CHARACTERS]
            rows = text.count("\n") + len(text) // (int(size.partition("x")[0]) - 6)
            with tempfile.TemporaryDirectory() as home, Lab(size, home) as lab:
                lab.wait_for("Home")
                lab.read(1.5)
                lab.press("3", "learn BPE")
                lab.read(1.0)
                if options.page == "side":
                    lab.press("]", "the same text")
                lab.press("e", "escape leaves")
                for start in range(0, len(text), 4000):  # a terminal hands over a paste in parts
                    os.write(lab.master, (PASTE + text[start : start + 4000] + PASTE_END).encode())
                    lab.read(0.2)
                lab.read(2.0)
                for place in PLACES if text.strip() else PLACES[:1]:
                    go_to(lab, place, rows)
                    times = []
                    for at in range(options.rounds):
                        letter = LETTERS[at % len(LETTERS)]
                        times.append(1000 * lab.press(letter, counted(text + letter, options.page)))
                        lab.press(BACKSPACE, counted(text, options.page))
                    everything += times
                    print_row(f"{name}, at the {place}", times, " ms")
        print_row("all of them", everything, " ms")


if __name__ == "__main__":
    main()
