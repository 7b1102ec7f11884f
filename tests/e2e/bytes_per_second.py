"""Bytes that the lab sends each second while training is watched, over SSH as far as the lab can tell, in true colour.

python tests/e2e/bytes_per_second.py                  # a run in training, watched at 80x24 and at 120x40
python tests/e2e/bytes_per_second.py --seconds 20 --size 200x60
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))
from tests.e2e.key_latency import Lab

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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", action="append", help=f"such as 80x24, may be repeated; without it {' and '.join(SIZES)}")
    parser.add_argument("--seconds", type=int, default=25)
    options = parser.parse_args()
    os.environ |= OVER_SSH
    with tempfile.TemporaryDirectory() as home:
        llmlab(*TRAIN, home=home)
        try:
            for size in options.size or SIZES:
                counts = watch(size, home, options.seconds)
                mean = sum(counts) / len(counts)
                print(f"{size:>8}  {mean:,.0f} bytes/s on average, {max(counts):,} in the busiest of {len(counts)} seconds")
        finally:
            llmlab("stop", RUN, home=home)


if __name__ == "__main__":
    main()
