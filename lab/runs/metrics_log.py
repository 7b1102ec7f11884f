"""Append to and follow metrics.jsonl, other JSON-lines files and TensorBoard's: a line is appended whole or not at all."""

import importlib.util
import io
import os
import time
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import BinaryIO, Generic, TypeVar

import msgspec

from lab.core.atomic_io import append_whole, replace_atomic
from lab.core.errors import DamagedFileError, UserError
from lab.core.safe_open import (
    JSON_ERRORS,
    LARGEST_LINE,
    LARGEST_LINES,
    lines_backwards,
    open_regular,
    open_to_append,
    refuse_link,
)
from lab.runs.run_schema import Event, Insight, LogTo, Metric, Sample
from models.installation import install_command

MetricLine = TypeVar("MetricLine", bound=msgspec.Struct)
StepLine = TypeVar("StepLine", Metric, Sample, Event, Insight)

LAST_LINE_BYTES = 8192
"""Bytes at the end of a file that are sure to hold its last line."""

EVALUATION = b'"val_loss"'
"""Bytes of the lines in metrics.jsonl that have an evaluation."""


class LineReader(Generic[MetricLine]):
    """Read the new lines of a growing JSON-lines file.

    A last line without its newline is left for the next time. When the file has been replaced or has become shorter, which a
    resumed training does with lines after its checkpoint, reading starts over and `restarted` is True: discard earlier lines.
    A line that is no JSON of the right type is skipped. A missing file is an empty one.
    """

    def __init__(self, path: Path, kind: type[MetricLine], holding: bytes = b"") -> None:
        """Lines without the bytes of `holding` are skipped undecoded."""
        self.path = path
        self._holding = holding
        self.restarted = False
        self._decoder: msgspec.json.Decoder[MetricLine] = msgspec.json.Decoder(kind)
        self._offset = 0
        self._file_id = (0, 0)

    def read(self) -> list[MetricLine]:
        """New lines since the last call; empty where there are none."""
        return [line for part in self.parts() for line in part]

    def parts(self, most: int = LARGEST_LINE) -> Iterator[list[MetricLine]]:
        """The new lines in parts, at least one, each from at most `most` bytes of the file."""
        self.restarted, before = False, -1
        while self._offset != before:
            before = self._offset
            yield self._read(most)

    def _read(self, most: int) -> list[MetricLine]:
        try:
            with open_regular(self.path, LARGEST_LINES) as file:
                facts = os.fstat(file.fileno())
                file_id = (facts.st_dev, facts.st_ino)
                if self._offset and (file_id != self._file_id or facts.st_size < self._offset):
                    self.restarted, self._offset = True, 0
                self._file_id = file_id
                file.seek(self._offset)
                new = file.read(most)
        except (OSError, DamagedFileError):
            self.restarted, self._offset = self.restarted or self._offset > 0, 0
            return []
        whole = new[: new.rfind(b"\n") + 1]
        self._offset += len(whole)
        if self._holding:
            whole = b"".join(line for line in whole.splitlines(keepends=True) if self._holding in line)
        return decode_lines(self._decoder, whole)


class LineWriter:
    """Append JSON lines to a file, each with one write.

    Raises:
        DamagedFileError: if it is no regular file.
        OSError: from `write` as the system says; what was written of that line is taken back.
    """

    def __init__(self, path: Path) -> None:
        self._descriptor = open_to_append(path)
        self._encoder = msgspec.json.Encoder()

    def write(self, line: msgspec.Struct) -> None:
        """Append one line; readers see it when this returns."""
        append_whole(self._descriptor, self._encoder.encode(line) + b"\n")

    def sync(self) -> None:
        os.fsync(self._descriptor)

    def close(self) -> None:
        os.close(self._descriptor)


def decode_lines(decoder: msgspec.json.Decoder[MetricLine], whole_lines: bytes) -> list[MetricLine]:
    """Decode lines. Those that cannot be read are skipped."""
    try:
        return decoder.decode_lines(whole_lines)
    except JSON_ERRORS:
        lines = []
    for raw in whole_lines.splitlines():
        try:
            lines.append(decoder.decode(raw))
        except JSON_ERRORS:
            continue
    return lines


def last_line(path: Path, kind: type[MetricLine]) -> MetricLine | None:
    """The last whole line, found without reading the file from its start."""
    decoder = msgspec.json.Decoder(kind)
    try:
        with open_regular(path, LARGEST_LINES) as file:
            lines = (decoded for line in lines_backwards(file, most=LAST_LINE_BYTES) for decoded in decode_lines(decoder, line))
            return next(lines, None)
    except (OSError, DamagedFileError):
        return None


def keep_lines_up_to(path: Path, kind: type[StepLine], step: int) -> int:
    """Drop the lines of steps after `step`, a torn last line and lines that cannot be read; return how many.

    The file is replaced atomically, and left alone where every line stays.
    Raises DamagedFileError if it is no regular file, or has a line that no run writes."""
    decoder = msgspec.json.Decoder(kind)

    def stays(line: bytes) -> bool:
        decoded = decode_lines(decoder, line) if line.endswith(b"\n") else []
        return bool(decoded) and decoded[0].step <= step

    try:
        with open_regular(path, LARGEST_LINES) as file:
            dropped = sum(not stays(line) for line in _lines(path, file))
            if dropped:
                file.seek(0)
                replace_atomic(path, (line for line in _lines(path, file) if stays(line)))
    except FileNotFoundError:
        return 0
    return dropped


def _lines(path: Path, file: BinaryIO) -> Iterator[bytes]:
    """The lines with their ends. Raises: DamagedFileError, for one that is longer than any line of a run."""
    while line := file.readline(LARGEST_LINE):
        if len(line) == LARGEST_LINE:
            raise DamagedFileError(path, f"is damaged: it has a line of more than {LARGEST_LINE:,} bytes")
        yield line


SPEED_STEPS = 10
"""Steps over which the speed is averaged: single steps jump when the machine is busy otherwise."""


def mean_speed(latest: Collection[float]) -> float | None:
    """Tokens per second of a run, from those of its last `SPEED_STEPS` steps: the one speed that is said of it anywhere."""
    return sum(latest) / len(latest) if latest else None


SCALARS = ("loss", "val_loss", "bits_per_byte", "lr", "grad_norm", "tokens_per_second")


def check_log_to(log_to: LogTo) -> None:
    """Check that the package is here. Raises UserError."""
    if log_to == "tensorboard" and importlib.util.find_spec("tensorboard") is None:
        raise UserError(f"--log-to tensorboard needs the package tensorboard: `{install_command('tensorboard')}` adds it.")


class TensorBoardLog:
    """Appends each step's metrics as one TensorBoard event, whole or not at all.

    Raises:
        UserError: if the package has been removed since, or the folder is a link.
        OSError: as the system says; what was written of that event is taken back.
    """

    def __init__(self, folder: Path, saved_step: int | None) -> None:
        """TensorBoard then forgets the events of steps after `saved_step`, which are trained again."""
        check_log_to("tensorboard")
        refuse_link(folder)
        folder.mkdir(exist_ok=True)
        now = time.time()
        self._descriptor = open_to_append(folder / f"events.out.tfevents.{now:.6f}.{os.getpid()}")
        self._append(wall_time=now, file_version="brain.Event:2")
        self._append(wall_time=now, step=0 if saved_step is None else saved_step + 1, session_log={"status": "START"})

    def write(self, metric: Metric) -> None:
        values = [{"tag": name, "simple_value": value} for name in SCALARS if (value := getattr(metric, name)) is not None]
        self._append(wall_time=time.time(), step=metric.step, summary={"value": values})

    def _append(self, **fields: object) -> None:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.summary.writer.record_writer import RecordWriter

        record = io.BytesIO()
        RecordWriter(record).write(Event(**fields).SerializeToString())
        append_whole(self._descriptor, record.getvalue())
