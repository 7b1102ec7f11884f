"""The metrics of a run for TensorBoard: event files in its folder `tensorboard`, beside metrics.jsonl."""

import importlib.util
import io
import os
import time
from pathlib import Path

from lab.core.atomic_io import append_whole
from lab.core.errors import UserError
from lab.core.safe_open import open_to_append
from lab.runs.run_schema import LogTo, Metric

SCALARS = ("loss", "val_loss", "bits_per_byte", "lr", "grad_norm", "tokens_per_second")


def check_log_to(log_to: LogTo) -> None:
    """Check that the package is here. Raises UserError."""
    if log_to == "tensorboard" and importlib.util.find_spec("tensorboard") is None:
        raise UserError("--log-to tensorboard needs the package tensorboard: pip install 'llmlab[tensorboard]' adds it.")


class TensorBoardLog:
    """Appends each step's metrics as one TensorBoard event, whole or not at all.

    Raises:
        UserError: if the package has been removed since.
        OSError: as the system says; what was written of that event is taken back.
    """

    def __init__(self, folder: Path, saved_step: int | None) -> None:
        """TensorBoard then forgets the events of steps after `saved_step`, which are trained again."""
        check_log_to("tensorboard")
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
