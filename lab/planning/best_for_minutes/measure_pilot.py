"""Measurement of a text's pilot: on a sample of the text, by `lab.training.train_pilot` in a process of its own.

The number of its steps is fixed, so that its loss does not depend on the machine; it is kept in `.pilots.json` beside the runs.
Imports nothing heavy; that process does.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from lab.core.atomic_io import folder_lock, forget_file, os_error_in_words, write_atomic
from lab.core.child_process import MeasuringProcess
from lab.core.safe_open import read_entries
from lab.data.corpus import Corpus
from lab.data.statistics.text_sample import text_sample
from lab.planning.best_for_minutes.pilot import Pilot

FILE = ".pilots.json"
MOST = 200
"""Pilots that are kept, the latest."""
VERSION = 1
"""Of what a pilot is: others are trained anew."""


class PilotTrainer:
    """One measurement, which another thread may cancel."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._process = MeasuringProcess("lab.training.train_pilot", "the difficulty of the text", threads=1)
        self.cancel = self._process.cancel

    def measure(self, corpus: Corpus, waiting: Callable[[], None] = lambda: None, after: float = 0.0) -> Pilot | None:
        """The pilot of a text: the one that is known, or one trained now; None if the text has too little to hold out, or
        this was cancelled.

        It is trained after so many seconds. `waiting` is called again and again meanwhile, and cancels by raising.
        Raises UserError if the text cannot be read, or the pilot not be trained or kept.
        """
        home, sample = self._home, text_sample(corpus)
        if sample is None:
            return None
        key = hashlib.sha256(repr((VERSION, len(sample.seen))).encode() + sample.seen + sample.held).hexdigest()
        if known := known_pilots(home).get(key):
            return known
        output = self._process.run(msgspec.json.encode(sample), waiting, after)
        if not output:
            return None
        pilot = msgspec.structs.replace(msgspec.json.decode(output, type=Pilot), entropy=corpus.entropy_bits_per_byte)
        try:
            home.mkdir(mode=0o700, parents=True, exist_ok=True)
            with folder_lock(home):
                kept = dict(list((known_pilots(home) | {key: pilot}).items())[-MOST:])
                write_atomic(home / FILE, msgspec.json.format(msgspec.json.encode(kept), indent=1))
        except OSError as error:
            raise os_error_in_words(error, f"keep the pilot of a text in {home}") from error
        return pilot


def known_pilots(home: Path) -> dict[str, Pilot]:
    return dict(read_entries(home / FILE, dict[str, Any], tuple[str, Pilot]))


def forget_pilots(home: Path) -> int:
    """Forget them all; returns their number. Raises UserError if the system refuses."""
    return forget_file(home / FILE, len(known_pilots(home)))
