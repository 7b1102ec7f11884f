"""Program that makes a recorded result, `python -P -m lab.studies.record_study NAME FILE SEED…`, again by whoever wants to.

The file, lab/studies/recorded/NAME.jsonl, then holds a record of each seed in place of what it held.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from lab.core.atomic_io import replace_atomic
from lab.studies.study_job import STUDIES, run_study
from lab.studies.study_record import Done
from lab.training.job_record import Write, record_work


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit code: 0 finished, 1 failed."""
    parser = argparse.ArgumentParser(prog="python -P -m lab.studies.record_study")
    parser.add_argument("name", choices=STUDIES)
    parser.add_argument("file", type=Path)
    parser.add_argument("seed", type=int, nargs="+")
    asked = parser.parse_args(arguments)
    replace_atomic(asked.file, [])
    return 0 if all(_record(asked.name, asked.file, seed) for seed in asked.seed) else 1


def _record(name: str, path: Path, seed: int) -> bool:
    def work(write: Write) -> str:
        return run_study(name, seed, lambda line: None if isinstance(line, Done) else write(line))

    return record_work(path, work, seed=seed, clock=time.process_time).is_finished


if __name__ == "__main__":
    sys.exit(main())
