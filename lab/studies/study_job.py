"""Study as a job: the studies there are, the work of one, and the follower of its record. No torch until the work."""

import importlib
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from lab.core.atomic_io import replace_atomic
from lab.studies.study_record import Done, Record, StudyHistory, median_of, recorded_seeds
from lab.training.job import Job, JobFollower, Write, record_work

STUDIES = ("chat", "few_shot", "preferences", "spelling", "sums", "unknowns")
"""Modules of this package with a function `study(record)`. To add one, write it, add its name, and call `record_seeds`."""


class StudyRequest(msgspec.Struct, frozen=True):
    """The seed of a study that is to run here."""

    seed: int


class StudyJob(Job):
    """A study that runs here."""

    FOLDER = ".studies"

    def __init__(self, name: str, home: Path) -> None:
        super().__init__(name, home)
        self._earlier_path = self.path.with_name(f"{name}.jsonl")
        """The result of a version whose studies had no folder each."""

    def is_settled(self) -> bool:
        return self.record_path.exists() or not self._earlier_path.exists()

    def settle(self) -> None:
        if not self.is_settled():
            os.rename(self._earlier_path, self.record_path)

    def seed(self, request: bytes) -> int:
        return msgspec.json.decode(request, type=StudyRequest).seed

    def clock(self) -> float:
        """Processor time: other programs do not lengthen it."""
        return time.process_time()

    def work(self, request: bytes, write: Write, poll: Callable[[], None]) -> str:
        return run_study(self.name, self.seed(request), write)


def record_seeds(name: str, path: Path, seeds: Sequence[int]) -> bool:
    """Make a recorded result anew: a record for each seed, in place of what the file holds. False if one did not finish."""
    replace_atomic(path, [])

    def finished(seed: int) -> bool:
        def work(write: Write) -> str:
            return run_study(name, seed, lambda line: None if isinstance(line, Done) else write(line))

        return record_work(path, work, seed=seed, clock=time.process_time).is_finished

    return all(map(finished, seeds))


def run_study(name: str, seed: int, write: Write) -> str:
    """Run a study of this name; return "", as there is nothing to tell of its result. Raises what it raises."""
    study: Callable[[Record], None] = importlib.import_module(f"lab.studies.{name}").study
    import torch

    torch.set_num_threads(1)
    torch.manual_seed(seed)
    study(Record(write, seed))
    return ""


class StudyFollower(JobFollower[StudyHistory]):
    """Reads the record of a study of here, and has the recorded ones beside it."""

    def __init__(self, job: StudyJob) -> None:
        super().__init__(job, StudyHistory)
        self.seeds = list[StudyHistory]()
        """The records that ship with the lab."""
        self.recorded = StudyHistory()
        """Their medians."""

    @property
    def is_recorded(self) -> bool:
        """True if no record of here is shown."""
        return not self.is_running and not self.stands

    @property
    def shown(self) -> StudyHistory:
        """The record of here; where there is none, `recorded`."""
        return self.recorded if self.is_recorded else self.history

    @property
    def names(self) -> list[str]:
        """The views that there are or will be."""
        return list(self.recorded.views | self.history.views if self.is_running else self.shown.views)

    def shown_of(self, view: str) -> StudyHistory:
        """`shown`; of a view to which a study that runs here has not come yet, what was recorded."""
        return self.recorded if self.is_running and view not in self.history.views else self.shown

    @property
    def next_seed(self) -> int:
        """The seed of the next study here: the first that neither was recorded nor finished here last."""
        begun = [each.begun for each in (*self.seeds, self.shown) if each.begun is not None]
        return max((each.seed for each in begun), default=0) + 1

    def read(self) -> bool:
        if not self.seeds and (seeds := recorded_seeds(self.job.name)):
            self.seeds, self.recorded = seeds, median_of(seeds)
        return super().read()
