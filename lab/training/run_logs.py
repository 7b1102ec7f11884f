"""Logs of a run: metrics, samples, insights and events. While the disk is full writes are retried, so that no hours are lost."""

import math
from collections.abc import Callable
from typing import Any

from lab.core.atomic_io import is_disk_full, os_error_in_words
from lab.runs import weights_file
from lab.runs.metrics_log import LineWriter, TensorBoardLog, keep_lines_up_to
from lab.runs.run_folder import Run
from lab.runs.run_schema import Event, EventKind, Insight, Metric, Sample
from lab.training.command_inbox import CommandInbox
from lab.training.run_length import Clock
from lab.training.status_file import StatusBoard
from lab.training.trainer_state import TrainerState

RETRY_SECONDS = 5.0
"""Interval between tries to write while the disk is full."""


LogLine = Metric | Sample | Insight | Event
WORDS: dict[type[LogLine], str] = {Metric: "the metrics", Sample: "a sample", Insight: "the insights", Event: "the events"}


class RunLogs:
    """Writers of the run's logs. While the disk is full they wait, as if training were paused."""

    def __init__(
        self, run: Run, state: TrainerState, clock: Clock, board: StatusBoard, inbox: CommandInbox, saved_step: int | None
    ) -> None:
        """Open the logs. Those of a run that is resumed must have been truncated."""
        self.saved_step = saved_step
        """Step of the last checkpoint on disk, which the message about a full disk names."""
        self._state = state
        self._clock, self._board, self._inbox = clock, board, inbox
        self._writers: dict[type[LogLine], LineWriter] = {
            Metric: LineWriter(run.metrics_path),
            Sample: LineWriter(run.samples_path),
            Insight: LineWriter(run.insights_path),
            Event: LineWriter(run.events_path),
        }
        to_tensorboard = run.config.train.log_to == "tensorboard"
        self._tensorboard = TensorBoardLog(run.path / "tensorboard", saved_step) if to_tensorboard else None

    def write(self, what: str, action: Callable[[], None]) -> None:
        """Run `action`, which writes `what`, until the disk has room for it: again every `RETRY_SECONDS`, and at the command to
        resume. Log the pause if there was one.

        Raises:
            UserError: if writing fails for another reason.
            StopRequestedError: if the user says to discard what is not saved. A command to stop and signals wait for room, too,
                and are obeyed once the write is done.
        """
        phase, message = self._board.status.phase, self._board.status.message
        waited, was_running = "", self._clock.is_running
        while True:
            try:
                action()
                break
            except OSError as error:
                if not is_disk_full(error):
                    raise os_error_in_words(error, what) from error
            stopping = bool(self._inbox.stop_requested_by)
            waited = f"Paused because the disk is full: there is no room to {what}. {self.last_saved()}"
            waited += " It stops as soon as there is room." if stopping else ""
            self._clock.stop()
            self._board.update("paused", message=waited, no_room=True, stopping=stopping)
            self._inbox.wait(RETRY_SECONDS)
        if waited:
            if was_running:
                self._clock.start()
            self._board.update(phase, message=message, no_room=False, stopping=False)
            self.event("pause", waited)
            self.event("resume")

    def add(self, line: LogLine) -> None:
        """Append a line to the log of its kind; a metric also for TensorBoard, if that was asked for."""
        self.write(f"write {WORDS[type(line)]}", lambda: self._writers[type(line)].write(line))
        if isinstance(line, Metric) and (tensorboard := self._tensorboard) is not None:
            self.write("write TensorBoard's events", lambda: tensorboard.write(line))

    def event(self, kind: EventKind, text: str = "") -> None:
        self.add(self._event(kind, text, self._state.step))

    def report(self, kind: EventKind, message: str, **changes: Any) -> None:
        """Log an event, and show its sentence in the status, with these changes."""
        self.event(kind, message)
        self._board.update(message=message, **changes)

    def last_event(self, text: str, step: int) -> None:
        """Append the event that training stopped, without waiting for room on the disk."""
        try:
            self._writers[Event].write(self._event("stop", text, step))
        except OSError as error:
            if not is_disk_full(error):
                raise os_error_in_words(error, "write the events") from error

    def _event(self, kind: EventKind, text: str, step: int) -> Event:
        return Event(step=step, seconds=round(self._clock.seconds(), 3), kind=kind, text=text)

    def sync(self) -> None:
        """Flush the logs to disk before a checkpoint."""
        for writer in self._writers.values():
            writer.sync()

    def last_saved(self) -> str:
        """A sentence about the last checkpoint."""
        step = self.saved_step
        return "Nothing is saved yet." if step is None else f"The last checkpoint, of step {step}, is whole."


def truncate_logs(run: Run, step: int) -> None:
    """Remove lines and snapshots that an interrupted trainer wrote after its last checkpoint; they are written again, the same.

    The snapshot of step 0 of a run that begins with another's weights stays: until the first checkpoint they are nowhere else.

    Raises:
        UserError: if a file cannot be written.
    """
    try:
        keep_lines_up_to(run.metrics_path, Metric, step)
        keep_lines_up_to(run.samples_path, Sample, step)
        keep_lines_up_to(run.events_path, Event, step)
        keep_lines_up_to(run.insights_path, Insight, step)
        weights_file.drop_snapshots_after(run, step if run.config.start is None else max(step, 0))
    except OSError as error:
        raise os_error_in_words(error, f"resume {run.name}") from error


def finite_or_none(value: float, digits: int) -> float | None:
    """Rounded to so many decimal places; None for NaN and infinity, which JSON cannot write."""
    return round(value, digits) if math.isfinite(value) else None
