"""Limits of every setting of a run, for the command line, the form of a new run, and the files
of a run. Nothing here needs torch.

They are far beyond what is sensible and far below what overflows: tokens trained on, steps × batch × context, stay below 2^63.
"""

from typing import Any, NamedTuple

from models.config import LARGEST


class Limit(NamedTuple):
    """From `least` to `most`, both included unless said otherwise."""

    least: float
    most: float
    above: bool = False
    """True if `least` itself is too small."""
    below: bool = False
    """True if `most` itself is too large."""

    def problem(self, value: float) -> str:
        """The end of a sentence after "must": `be at least 1`; empty if the value is within. NaN is not."""
        too_small = not (value > self.least if self.above else value >= self.least)
        too_large = not (value < self.most if self.below else value <= self.most)
        if (too_small or too_large) and self.most <= 1:
            return f"be {self.lowest} and {self.highest}"
        return f"be {self.lowest}" if too_small else f"be {self.highest}" if too_large else ""

    @property
    def lowest(self) -> str:
        """The lower bound in words: `at least 1`, `above 0`."""
        return f"{'above' if self.above else 'at least'} {limit_in_words(self.least)}"

    @property
    def highest(self) -> str:
        """The upper bound in words: `at most 1,024`, `below 1`."""
        return f"{'below' if self.below else 'at most'} {limit_in_words(self.most)}"

    def meta(self) -> dict[str, Any]:
        """The same bounds as arguments of `msgspec.Meta`. Those of an integer are integers."""
        return {"gt" if self.above else "ge": self.least, "lt" if self.below else "le": self.most}


def limit_in_words(bound: float) -> str:
    """A bound as it stands in a sentence: 1,024, 0.5, 2^63 − 1."""
    if bound == 2**63 - 1:
        return "2^63 − 1"
    return f"{bound:,}" if isinstance(bound, int) else f"{bound:g}"


LIMITS: dict[str, Limit] = {
    **{name: Limit(1, most) for name, most in LARGEST.items()},
    "dropout": Limit(0, 1, below=True),
    "batch": Limit(1, 1 << 16),
    "accumulate": Limit(1, 1 << 16),
    "steps": Limit(1, 1_000_000_000),
    "minutes": Limit(0, 1_000_000, above=True),
    "lr": Limit(0, 1000, above=True),
    "final_lr": Limit(0, 1),
    "warmup": Limit(0, 1),
    "weight_decay": Limit(0, 1000),
    "average": Limit(0, 1, below=True),
    "beta1": Limit(0, 1, below=True),
    "beta2": Limit(0, 1, below=True),
    "clip": Limit(0, 1e9, above=True),
    "seed": Limit(0, 2**63 - 1),
    "threads": Limit(1, 1024),
    "ranks": Limit(1, 4096),
    "eval_every": Limit(1, 1_000_000_000),
    "patience": Limit(1, 1_000_000_000),
    "sample_tokens": Limit(1, 100_000),
    "val_share": Limit(0.001, 0.5),
    "split_seed": Limit(0, 2**63 - 1),
}
"""Limits by the name of the field of `RunRequest`, `ModelConfig` or `TrainConfig`; `vocab_size` is that of the model."""

SMALLEST_VOCABULARY = 257
"""The 256 bytes and one merge, the fewest that BPE can learn."""
VOCABULARY = Limit(SMALLEST_VOCABULARY, LARGEST["vocab_size"])

WRITTEN_TOKENS = Limit(1, 1_000_000)
TEMPERATURE = Limit(0, 1_000_000_000)
TOP_K = Limit(0, LARGEST["vocab_size"])
TOP_P = Limit(0, 1, above=True)
MIN_P = Limit(0, 1)
REPETITION_PENALTY = Limit(1, 1_000)
SAMPLING_SEED = Limit(0, 2**64 - 1)
SAMPLES = Limit(1, 1000)
"""Texts that are written at once; how many fit into memory depends on the model."""

MEASURED_PLACES = Limit(0, 64)
"""Places of the validation text whose prediction an evaluation measures."""
PLACE_TOKENS = Limit(0, 256)
"""Tokens that a place is shown with, before it and after it."""
TOP_TOKENS = Limit(0, 64)
"""Most probable tokens that are kept of a prediction."""
