"""status.json: the trainer's phase, step and messages, and a heartbeat once a second."""

import os
import threading
import time
from pathlib import Path
from typing import Any

import msgspec

from lab.core.atomic_io import is_disk_full, is_write_denied, replace_atomic
from lab.core.safe_open import open_to_overwrite
from lab.runs.run_folder import STATUS_PADDING
from lab.runs.run_schema import Phase, Status

HEARTBEAT_SECONDS = 1.0


class StatusBoard:
    """The trainer's status and its file. `update` is for the training loop; a thread writes the heartbeat through long steps.

    The file is replaced atomically but not synced: a heartbeat from before a power cut is of no use to anyone.
    """

    def __init__(self, path: Path, status: Status) -> None:
        self._path = path
        self._status = status
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._heartbeat, name="heartbeat", daemon=True)

    @property
    def status(self) -> Status:
        return self._status

    def start(self) -> None:
        """Write the status for the first time and start the heartbeat. Raises OSError if no file can be made in its folder."""
        self._write(first=True)
        self._thread.start()

    def update(self, phase: Phase | None = None, **changes: Any) -> None:
        """Change fields of the status; a change of phase or message is in the file when this returns."""
        if phase is not None:
            changes["phase"] = phase
        with self._lock:
            notable = any(
                changes.get(name, getattr(self._status, name)) != getattr(self._status, name) for name in ("phase", "message")
            )
            self._status = msgspec.structs.replace(self._status, **changes)
        if notable:
            self._write()

    def end(self) -> None:
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join()
        self._write()

    def _heartbeat(self) -> None:
        while not self._ended.wait(HEARTBEAT_SECONDS):
            try:
                self._write()
            except OSError:
                continue  # the training loop meets the same error when it saves, and handles it there

    def _write(self, *, first: bool = False) -> None:
        with self._lock:
            self._status.heartbeat = time.time()
            content = msgspec.json.encode(self._status) + b"\n"
            padded = -(-len(content) // STATUS_PADDING) * STATUS_PADDING
            content = content[:-1].ljust(padded - 1) + b"\n"
            try:
                replace_atomic(self._path, [content], is_lasting=False)
            except OSError as error:
                if not is_disk_full(error) and (first or not is_write_denied(error)):
                    raise
                try:
                    self._write_over(content)
                except FileNotFoundError:
                    raise error from None

    def _write_over(self, content: bytes) -> None:
        """Overwrite the file in place, in one write, on a full disk or in a folder where no file can be made.

        A longer file keeps its length: cut off before or after, it would be damaged for a moment.
        """
        descriptor = open_to_overwrite(self._path)
        try:
            os.pwrite(descriptor, content[:-1].ljust(os.fstat(descriptor).st_size - 1) + b"\n", 0)
        finally:
            os.close(descriptor)
