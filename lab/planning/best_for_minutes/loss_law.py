"""The law of the loss: validation bits per byte at the end of a run, from its size, its tokens, its text and its dropout.

Its form follows Kaplan et al. 2020 ("Scaling Laws for Neural Language Models") and Hoffmann et al. 2022 ("Training
Compute-Optimal Large Language Models"): a floor, a part that falls with the parameters and a part that falls with the tokens.
Tokens that are read again count for less, as in Muennighoff et al. 2023 ("Scaling Data-Constrained Language Models"); beyond
what these have, a text that is read too often is memorized, and dropout delays that. `tests.lab.planning.fit_loss_law` fits the
numbers to the runs of `tests.lab.planning.loss_sweep`.
"""

import math
from itertools import pairwise
from pathlib import Path

import msgspec

FILE = Path(__file__).with_name("loss_law.json")
EARLIER = (0.5, 0.2, 0.05, 0.01, 0.001)
"""Shares of a run after which its weights may be the best that are kept."""
BEFORE_ITS_END = 1.04
"""Loss of a run's weights over that of a run that ends there: its learning rate is still high."""
USUAL_DECAY = 0.1
USUAL_ENTROPY = 2.6
"""Held-out entropy of common prose, in bits per byte: see `lab.data.statistics.held_out_entropy`."""


class Learning(msgspec.Struct, frozen=True):
    """Everything that the law looks at. `parameters` are those of the layers, without embeddings."""

    parameters: int
    vocabulary: int
    context: int
    tokens: float
    """Tokens trained on, repeats included."""
    unique_tokens: float
    """Tokens of the training part."""
    unique_bytes: float
    dropout: float
    weight_decay: float
    entropy: float | None


class LossLaw(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The fitted numbers, for parameters in millions and text in megabytes."""

    floor: float
    size: float
    size_power: float
    data: float
    data_power: float
    context_power: float
    repeats: float
    """Epochs that a text is worth at most: those beyond teach less and less."""
    vocabulary: float
    vocabulary_best: float
    memorized: float
    memorized_power: float
    memorized_size_power: float
    memorized_dropout: float
    memorized_decay: float
    dropout_cost: float
    decay_cost: float
    spread: float
    """Standard deviation of the logarithm of what runs got over what is expected."""
    bytes_per_token_at: dict[int, float]
    """Bytes of a token by the size of the vocabulary."""

    def bytes_per_token(self, vocabulary: int) -> float:
        """Bytes of a token of common text in so large a vocabulary, between the sizes that were seen."""
        known = sorted(self.bytes_per_token_at.items())
        size = min(max(vocabulary, known[0][0]), known[-1][0])
        (low, less), (high, more) = next(pair for pair in pairwise(known) if pair[1][0] >= size)
        return less + (more - less) * math.log(size / low) / math.log(high / low)

    def bits_per_byte(self, run: Learning) -> float:
        """The expected validation loss of the best weights: the last, or those before the run began to memorize its text."""
        learned, memorized = self.learned(run), self.memorization(run)
        found = learned + memorized
        if memorized > (BEFORE_ITS_END - 1) * learned:
            for earlier in (msgspec.structs.replace(run, tokens=share * run.tokens) for share in EARLIER):
                found = min(found, BEFORE_ITS_END * (self.learned(earlier) + self.memorization(earlier)))
        return (run.entropy or USUAL_ENTROPY) * found

    def of_last_weights(self, run: Learning) -> float:
        """The expected validation loss of the weights at its end, memorization and all."""
        return (run.entropy or USUAL_ENTROPY) * (self.learned(run) + self.memorization(run))

    def learned(self, run: Learning) -> float:
        """The loss over the text's entropy of a run that memorizes nothing. Regularization costs what a smaller model would."""
        epochs = run.tokens / run.unique_tokens
        worth = min(epochs, 1.0) + self.repeats * (1 - math.exp(-max(0.0, epochs - 1) / self.repeats))
        megabytes = worth * run.unique_bytes / 1e6
        held_back = math.exp(self.dropout_cost * run.dropout + self.decay_cost * _decay(run) ** 2)
        return (
            self.floor
            + self.size * math.pow(run.parameters / 1e6, -self.size_power) * held_back
            + self.data * math.pow(megabytes, -self.data_power) * math.pow(run.context / 128, self.context_power)
            + self.vocabulary * math.log(run.vocabulary / self.vocabulary_best) ** 2
        )

    def memorization(self, run: Learning) -> float:
        """The loss over the text's entropy that reading it too often with too large a model adds."""
        epochs = run.tokens / run.unique_tokens
        freedom = (run.parameters / run.unique_tokens) ** self.memorized_size_power
        held_back = math.exp(-self.memorized_dropout * run.dropout - self.memorized_decay * _decay(run))
        return self.memorized * math.pow(epochs * freedom * held_back, self.memorized_power)


def _decay(run: Learning) -> float:
    return math.log(max(run.weight_decay, USUAL_DECAY) / USUAL_DECAY)


LAW = msgspec.json.decode(FILE.read_bytes(), type=LossLaw)
