"""How hard a text is to predict: its pilot, and what earlier runs on it got against what was expected of them.

The pilot is a very small model that is trained on a sample of the text, by `lab.training.train_pilot` in a process of its own.
The number of its steps is fixed, so that its loss does not depend on the machine. Pilots and outcomes are kept beside the runs;
`llmlab cache --empty` forgets them. Imports nothing heavy.
"""

import contextlib
import hashlib
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

import msgspec

from lab.core.child_process import MeasuringProcess
from lab.core.errors import UserError
from lab.core.kept_entries import KeptEntries
from lab.core.visible_text import shortened, visible
from lab.data.corpus import Corpus
from lab.data.statistics.text_sample import text_sample
from lab.runs.run_schema import RunConfig, Status
from models.config import ModelConfig

VOCABULARY, CONTEXT, BATCH, STEPS = 512, 64, 32, 100
LAYERS, HEADS, WIDTH = 2, 2, 64
WEIGHT_DECAY = 0.1
"""The pilot's shape and training."""
EVALUATED = (STEPS // 4, STEPS // 2, STEPS * 3 // 4)
"""Steps after which it is evaluated, besides its end."""

PilotLoss = Annotated[float, msgspec.Meta(gt=0, le=100)]


class Pilot(msgspec.Struct, frozen=True):
    """What a pilot found. Losses are in bits per byte of held-out text."""

    bits_per_byte: PilotLoss
    """The lowest loss: that of its end, or of an earlier step where it memorized its sample."""
    fell_by: Annotated[float, msgspec.Meta(ge=-10, le=10)]
    """Natural logarithm of its loss at half of its steps over that of its end: how fast it was still falling. 0 where it rose
    towards the end, since it memorized its sample."""
    tokens: Annotated[int, msgspec.Meta(ge=1, le=1 << 40)]
    """Tokens of its sample, without repeats."""
    bytes: Annotated[int, msgspec.Meta(ge=1, le=1 << 40)]
    """Bytes of its sample."""
    entropy: Annotated[float, msgspec.Meta(ge=0, le=8)] | None = None
    """True entropy of the text's source, where that is known."""


def pilot_shape(vocabulary: int, context: int) -> ModelConfig:
    return ModelConfig(layers=LAYERS, heads=HEADS, width=WIDTH, vocab_size=vocabulary, context=context)


PILOTS = KeptEntries[tuple[str, Pilot]](".pilots.json", tuple[str, Pilot], most=200)
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
        if known := dict(PILOTS.known(home)).get(key):
            return known
        output = self._process.run(msgspec.json.encode(sample), waiting, after)
        if not output:
            return None
        pilot = msgspec.structs.replace(msgspec.json.decode(output, type=Pilot), entropy=corpus.entropy_bits_per_byte)
        PILOTS.keep(home, (key, pilot), "the pilot of a text")
        return pilot


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


OUTCOMES = KeptEntries[Outcome](".outcomes.json", Outcome, most=100, is_list=True)


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


def keep_outcome(config: RunConfig, status: Status, home: Path) -> None:
    """Keep the outcome of a finished run, if anything was expected of it."""
    got = status.final_best.bits_per_byte if status.final_best is not None else None
    if config.expected is None or not config.expected.by_law or not got:
        return
    if status.step < AS_PLANNED * config.expected.steps:
        return  # slower than planned: that is the machine's doing, not the text's
    outcome = {"run": config.name, "source": config.data.source, "ratio": got / config.expected.by_law}
    with contextlib.suppress(UserError, msgspec.ValidationError):  # a full disk, or a text unlike any other
        OUTCOMES.keep(home, msgspec.convert(outcome, Outcome), "the outcome of a run", LOCK_TIMEOUT)


def correction(outcomes: Sequence[Outcome], source: str) -> Correction:
    """The correction for a text by the latest runs on it. What runs on other texts got says nothing about this one: its pilot
    does."""
    found = [each for each in outcomes if each.source == source][-LATEST:]
    if not found:
        return Correction()
    logarithm = sum(math.log(each.ratio) for each in found) / (len(found) + SURE)
    return Correction(math.exp(logarithm), tuple(each.run for each in found))
