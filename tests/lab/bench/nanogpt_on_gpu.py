"""nanoGPT on a GPU: its own bench.py and train.py, run from the user's checkout in a process of their own."""

import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from lab.bench.gpu_suite import Evaluated
from lab.core.errors import UserError

ITERATION = re.compile(r"time per iteration: ([\d.]+)ms")
"""A line of bench.py, of which the last counts: the first is of its warm-up."""
EVALUATION = re.compile(r"step (\d+): train loss [\d.]+, val loss ([\d.]+)")
"""A line of train.py."""
LAST_LINES = 3
"""Lines of a failure that are looked through for its reason."""


def iteration_seconds(checkout: Path, arguments: Sequence[str]) -> float:
    """Seconds of a training step of GPT-2 124M by bench.py. Raises UserError if it fails."""
    if not os.path.isfile(checkout / "bench.py"):
        raise UserError(f"{checkout} has no bench.py; give a checkout of nanoGPT.")
    command = [sys.executable, "bench.py", *arguments]
    done = subprocess.run(command, cwd=checkout, capture_output=True, text=True, check=False)
    found = ITERATION.findall(done.stdout)
    if done.returncode or not found:
        raise UserError(f"nanoGPT's bench.py failed: {_reason(done.stderr)}")
    return float(found[-1]) / 1000


def evaluations(checkout: Path, arguments: Sequence[str]) -> list[Evaluated]:
    """Validation losses of train.py, each with the time that it was printed. Raises UserError if it fails."""
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile("w+") as errors:
        command = [sys.executable, "-u", "train.py", *arguments, f"--out_dir={folder}"]
        started = time.monotonic()
        process = subprocess.Popen(command, cwd=checkout, stdout=subprocess.PIPE, stderr=errors, text=True)
        assert process.stdout is not None
        try:
            lines = ((time.monotonic() - started, EVALUATION.match(line)) for line in process.stdout)
            found = [Evaluated(seconds, float(match[2])) for seconds, match in lines if match]
            code = process.wait()
        finally:
            process.kill()
            process.wait()
            process.stdout.close()
        errors.seek(0)
        if code or not found:
            raise UserError(f"nanoGPT's train.py failed: {_reason(errors.read())}")
    return found


def _reason(text: str) -> str:
    """The last line that says something."""
    lines = [line for line in text.strip().splitlines()[-LAST_LINES:] if line.strip()]
    return lines[-1].strip()[:300] if lines else "it printed no figures"
