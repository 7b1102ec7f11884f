"""How long Inspect takes from its key to the prompt's tokens and to the model's own answer, through a pseudo-terminal.

    python tests/e2e/inspect_opening.py            # each lab is new: cold at once, cold after a while on Home, and warmed up
    python tests/e2e/inspect_opening.py --rounds 3

    python tests/e2e/inspect_opening.py --busy     # warmed up although the machine is busy, which the lab itself never does

Cold: no engine runs when the key is pressed. Warmed: the lab has loaded PyTorch while the user was on Home, which it does on an
idle machine only.
"""

import argparse
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

from key_latency import Lab

ON_A_BUSY_MACHINE = """
from screens import engine_client
engine_client.has_spare_capacity = lambda: True
from screens.app import run
run()
"""
TOKENS, ANSWER = "is token", "predicts token"
ON_HOME = 4.0
"""Seconds on Home after which all other screens have been imported, unless the machine is busy."""
PATIENCE = 60.0


def opened(*, warm: bool, seconds: float, size: str) -> tuple[float, float]:
    """Seconds from the key to the tokens and to the engine's first answer, in a new lab."""
    with tempfile.TemporaryDirectory() as home:
        os.environ["LLMLAB_WARM_UP"] = "1" if warm else "0"
        with Lab(size, home) as lab:
            lab.wait_for("▸1 Home◂")
            lab.read(seconds)
            if warm:
                wait_for_engine(lab)
            start = time.perf_counter()
            os.write(lab.master, b"5")
            drawn = lab.wait_for(TOKENS)
            tokens = time.perf_counter() - start
            if ANSWER not in drawn:
                lab.wait_for(ANSWER)
            return tokens, time.perf_counter() - start


def wait_for_engine(lab: Lab) -> None:
    """Wait until an engine runs that has loaded PyTorch: it maps its library, and then rests."""
    end = time.monotonic() + PATIENCE
    before = -1.0
    while time.monotonic() < end:
        lab.read(1.0)
        for pid in lab.children():
            if "libtorch" in Path(f"/proc/{pid}/maps").read_text(errors="replace"):
                fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
                spent = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
                if spent == before:
                    return
                before = spent
    raise SystemExit("no engine was warmed up: is the machine busy, or short of memory?")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", default="120x40")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--busy", action="store_true", help="warm up without looking at the machine's load")
    options = parser.parse_args()
    if options.busy:
        Lab.COMMAND = (sys.executable, "-P", "-c", ON_A_BUSY_MACHINE)
    print(f"{'':34}{'tokens':>12}{'the answer':>14}   medians of {options.rounds}, load {os.getloadavg()[0]:.1f}")
    for name, warm, seconds in (
        ("cold, at once", False, 0.0),
        (f"cold, after {ON_HOME:g} s on Home", False, ON_HOME),
        ("warmed up", True, ON_HOME),
    ):
        found = [opened(warm=warm, seconds=seconds, size=options.size) for _ in range(options.rounds)]
        tokens, answer = (statistics.median(each) * 1e3 for each in zip(*found, strict=True))
        print(f"{name:34}{tokens:>9.0f} ms{answer:>11.0f} ms", flush=True)


if __name__ == "__main__":
    main()
