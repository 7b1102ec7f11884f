"""Outcomes of earlier runs against what was expected of them, by which the next expectation for the same text is corrected.

They are kept beside the runs, in `.outcomes.json`; `llmlab cache --empty` forgets them.
"""

import contextlib
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import msgspec

from lab.core.atomic_io import folder_lock, forget_file, write_atomic
from lab.core.safe_open import read_entries
from lab.core.visible_text import shortened, visible
from lab.runs.run_schema import RunConfig, Status

FILE = ".outcomes.json"
MOST = 100
"""Outcomes that are kept, the latest."""
LOCK_TIMEOUT = 60.0
"""Seconds that a run waits for others that end at once: nobody waits for it."""
AS_PLANNED = 0.8
"""Share of the planned steps that a run has taken whose outcome says something of its text."""
LATEST = 5
"""Runs on the same text that count, at most."""
SURE = 1.0
"""Outcomes that no correction counts as, beside those on the text."""


class Outcome(msgspec.Struct, frozen=True):
    """A finished run."""

    run: str
    source: str
    """Its text's."""
    ratio: Annotated[float, msgspec.Meta(ge=0.2, le=3)]
    """Its bits per byte over those of the law alone. At three times the law a model has learned nothing of most texts."""


class Correction(msgspec.Struct, frozen=True):
    """A factor on the loss that the law expects, and the runs on the same text that it is from."""

    factor: float = 1.0
    runs: tuple[str, ...] = ()

    def __str__(self) -> str:
        """`corrected by +1.2%, since tale lost more than expected`; empty where nothing is corrected."""
        if not self.runs:
            return ""
        names = shortened(visible(self.runs[-1]), 30) + (f" and {len(self.runs) - 1} more" if len(self.runs) > 1 else "")
        by = f"{self.factor - 1:+.1%}".replace("-", "−")
        return f"corrected by {by}: {names}, on the same text, lost {'more' if self.factor > 1 else 'less'} than was expected"


def known_outcomes(home: Path) -> list[Outcome]:
    return read_entries(home / FILE, list[Any], Outcome)[-MOST:]


def keep_outcome(config: RunConfig, status: Status, home: Path) -> None:
    """Keep the outcome of a finished run, if anything was expected of it."""
    got = status.final_best.bits_per_byte if status.final_best is not None else None
    if config.expected is None or not config.expected.by_law or not got:
        return
    if status.step < AS_PLANNED * config.expected.steps:
        return  # slower than planned: that is the machine's doing, not the text's
    outcome = {"run": config.name, "source": config.data.source, "ratio": got / config.expected.by_law}
    with contextlib.suppress(OSError, msgspec.ValidationError):  # a full disk, or a text unlike any other
        checked = msgspec.convert(outcome, Outcome)
        with folder_lock(home, LOCK_TIMEOUT):
            kept = [*known_outcomes(home), checked][-MOST:]
            write_atomic(home / FILE, msgspec.json.format(msgspec.json.encode(kept), indent=1))


def forget_outcomes(home: Path) -> int:
    """Forget them all; returns their number. Raises UserError if the system refuses."""
    return forget_file(home / FILE, len(known_outcomes(home)))


def correction(outcomes: Sequence[Outcome], source: str) -> Correction:
    """The correction for a text by the latest runs on it. What runs on other texts got says nothing about this one: its pilot
    does."""
    found = [each for each in outcomes if each.source == source][-LATEST:]
    if not found:
        return Correction()
    logarithm = sum(math.log(each.ratio) for each in found) / (len(found) + SURE)
    return Correction(math.exp(logarithm), tuple(each.run for each in found))
