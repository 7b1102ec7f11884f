"""The loss to expect of a run: by a law before it begins, and on its way by its own curve, too.

The law gives validation bits per byte at the end of a run, from its size, its tokens, its dropout and its text's pilot. Its form
follows Kaplan et al. 2020 ("Scaling Laws for Neural Language Models") and Hoffmann et al. 2022 ("Training Compute-Optimal Large
Language Models"): a floor, a part that falls with the parameters and a part that falls with the tokens. Tokens that are read
again count for less, as in Muennighoff et al. 2023 ("Scaling Data-Constrained Language Models"); beyond what these have, a text
that is read too often is memorized, and dropout delays that. How hard a text is to predict, its pilot has measured: the law goes
on from the pilot's loss. `tests.lab.planning.fit_loss_law` fits the numbers to the runs of `tests.lab.planning.loss_sweep`, and
finds the range by leaving each text out of the fit.

The learning rate falls to the end of a run, and so does the loss, by a share of what it fell by lately. `STILL_TO_FALL` are
medians over the same runs.
"""

import functools
import math
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from lab.core.number_format import fixed, whole
from lab.planning.text_difficulty import BATCH, CONTEXT, STEPS, VOCABULARY, WEIGHT_DECAY, Pilot, pilot_shape
from lab.runs.expected_loss_range import ExpectedLoss
from lab.runs.run_schema import RunConfig, TrainConfig
from models.config import ModelConfig
from models.parameter_count import parameter_count

if TYPE_CHECKING:
    from lab.runs.run_history import LossHistory

FILE = Path(__file__).with_name("loss_law.json")
EARLIER = (0.5, 0.2, 0.05, 0.01, 0.001)
"""Shares of a run after which its weights may be the best that are kept."""
BEFORE_ITS_END = 1.04
"""Loss of a run's weights over that of a run that ends there: its learning rate is still high."""
USUAL_DECAY = 0.1
USUAL_PILOT = Pilot(bits_per_byte=2.8, fell_by=0.0, tokens=250_000, bytes=600_000)
"""That of common prose, for texts whose pilot is not known yet."""
LEAST_FALL, MOST_FALL = 0.3, 4.0
"""Bounds of how fast a text's pilot fell over how fast they usually do."""
UNUSUAL_FALL = 0.08
"""A pilot that was still falling so fast is unlike those of common texts, all of which fell less: logs, tables, texts made by a
grammar, some code."""
BY_CHANCE = 8.0
"""Bits that a byte costs who knows nothing."""
WINDOW_BITS = 10.0
"""Bits that the tokens of a window cost together, beyond the entropy of a source that is known, since the model does not see what
stands before the window: as runs on the built-in stories end."""
SMALLEST = 4500
"""Bytes of the training part of the smallest text of the sweep: of a smaller one nothing is known."""
WIDER = 0.5
"""What is added to the range where a run has e times the tokens of the longest run of the sweep, as a share of it: a guess, on
the side of too wide, since nothing is known there."""


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
    pilot: Pilot | None


def learning_of(
    model: ModelConfig, train: TrainConfig, steps: float, unique_tokens: float, unique_bytes: float, pilot: Pilot | None
) -> Learning:
    """What the law looks at in a run of so many steps on a text of so many tokens."""
    return Learning(
        parameters=parameter_count(model) - model.vocab_size * model.width,
        vocabulary=model.vocab_size,
        context=model.context,
        tokens=steps * train.batch * model.context,
        unique_tokens=unique_tokens,
        unique_bytes=unique_bytes,
        dropout=model.dropout,
        weight_decay=train.weight_decay,
        pilot=pilot,
    )


@functools.lru_cache(maxsize=64)
def _learning_of_pilot(pilot: Pilot) -> Learning:
    train = TrainConfig(batch=BATCH, weight_decay=WEIGHT_DECAY)
    return learning_of(pilot_shape(VOCABULARY, CONTEXT), train, STEPS, pilot.tokens, pilot.bytes, None)


class LossLaw(msgspec.Struct, frozen=True, eq=False, forbid_unknown_fields=True):
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
    pilot_level: float
    """Factor on what the law makes of pilots."""
    pilot_fall: float
    """Power of how much faster than usual a pilot was falling, by which runs on its text fall faster."""
    usual_fall: float
    """`Pilot.fell_by` of a common text."""
    range: float
    """Logarithm of the factor within which eight of ten texts were that were left out of the fit: common texts."""
    range_of_unusual: float
    """The same for texts whose pilot was falling unusually fast."""
    longest: float
    """Tokens of the sweep's longest run."""
    bytes_per_token_at: dict[int, float]
    """Bytes of a token by the size of the vocabulary."""

    def bytes_per_token(self, vocabulary: int) -> float:
        """Bytes of a token of common text in so large a vocabulary, between the sizes that were seen."""
        known = sorted(self.bytes_per_token_at.items())
        size = min(max(vocabulary, known[0][0]), known[-1][0])
        (low, less), (high, more) = next(pair for pair in pairwise(known) if pair[1][0] >= size)
        return less + (more - less) * math.log(size / low) / math.log(high / low)

    def bits_per_byte(self, run: Learning) -> float:
        """The expected validation loss of the best weights: the last, or those before the run began to memorize its text.

        Where the entropy of the source is known, it is no less than that; never more than 8 bits.
        """
        found = min(self.by_learning(run), BY_CHANCE)
        if run.pilot is None or run.pilot.entropy is None:
            return found
        unseen = WINDOW_BITS * run.unique_tokens / run.unique_bytes / run.context
        return max(found, run.pilot.entropy + unseen)

    def by_learning(self, run: Learning) -> float:
        """The same as if there were no end to what can be learned: by it runs are chosen."""
        pilot = run.pilot or USUAL_PILOT
        return pilot.bits_per_byte * self.of_best(run, *_of_text(self, pilot))

    def of_last_weights(self, run: Learning) -> float:
        """The expected validation loss of the weights at its end, memorization and all."""
        pilot = run.pilot or USUAL_PILOT
        return pilot.bits_per_byte * self._relative(run, *_of_text(self, pilot))

    def range_of(self, run: Learning) -> float:
        """Logarithm of the factor by which eight of ten runs on new texts are off at most."""
        pilot = run.pilot or USUAL_PILOT
        usual = self.range_of_unusual if pilot.fell_by > UNUSUAL_FALL else self.range
        return usual * (1 + WIDER * max(0.0, math.log(run.tokens / self.longest)))

    def of_best(self, run: Learning, falls: float, base: float) -> float:
        """The loss over that of a pilot, for which the law says `base`, of the best weights."""
        learned, memorized = self.learned(run), self.memorization(run)
        found = math.pow(learned / base, falls) * (1 + memorized / learned)
        if memorized > (BEFORE_ITS_END - 1) * learned:
            for share in EARLIER:
                earlier = msgspec.structs.replace(run, tokens=share * run.tokens)
                found = min(found, BEFORE_ITS_END * self._relative(earlier, falls, base))
        return found

    def _relative(self, run: Learning, falls: float, base: float) -> float:
        """The loss over that of a pilot, for which the law says `base`; what is learned falls so much faster than usual."""
        learned = self.learned(run)
        return math.pow(learned / base, falls) * (1 + self.memorization(run) / learned)

    def learned(self, run: Learning) -> float:
        """The loss over the text's difficulty if nothing is memorized. Regularization costs what a smaller model would."""
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
        """The loss over the text's difficulty that reading it too often with too large a model adds."""
        epochs = run.tokens / run.unique_tokens
        freedom = (run.parameters / run.unique_tokens) ** self.memorized_size_power
        held_back = math.exp(-self.memorized_dropout * run.dropout - self.memorized_decay * _decay(run))
        return self.memorized * math.pow(epochs * freedom * held_back, self.memorized_power)


@functools.lru_cache(maxsize=64)
def _of_text(law: LossLaw, pilot: Pilot) -> tuple[float, float]:
    """How much faster than usual the loss falls on a text, by its pilot, 1 where that memorized its sample; and the law's loss of
    the pilot."""
    ratio = pilot.fell_by / law.usual_fall if pilot.fell_by > 0 else 1.0
    falls = math.pow(min(max(ratio, LEAST_FALL), MOST_FALL), law.pilot_fall)
    return falls, law.pilot_level * law.of_best(_learning_of_pilot(pilot), 1.0, 1.0)


def _decay(run: Learning) -> float:
    return math.log(max(run.weight_decay, USUAL_DECAY) / USUAL_DECAY)


LAW = msgspec.json.decode(FILE.read_bytes(), type=LossLaw)


STILL_TO_FALL = ((0.1, 2.4), (0.25, 1.35), (0.5, 0.8), (0.75, 0.24), (1.0, 0.0))
"""Progress of a run, and how much its loss falls from there to the end, over what it fell by since half of that progress;
of logarithms."""
AS_UNSURE = 0.8
"""Range of what is still to fall, as a share of it: it held for eight of ten runs."""
SURE = 0.01
"""Range that remains at the end, in the logarithm of the loss."""
SLOWER = 1.25
"""Planned steps over those that fit at the present speed, from which on a run is called slow."""
FAR_SLOWER = 4.0
"""The same from which on no loss is told: the law says nothing of such short runs of such a model."""
FEWEST_STEPS, SPEED_KNOWN = 10, 0.2
"""Steps, and progress of a run however few they are, from which on the speed is known."""


class Course(NamedTuple):
    """A run on its way: the loss to expect at its end, and the steps that fit into its minutes at its speed so far."""

    expected: ExpectedLoss
    steps: float
    costs: float
    """What the steps that do not fit cost, in bits per byte; 0 where it is as quick as planned."""


def course_of(config: RunConfig, history: "LossHistory") -> Course | None:
    """The course of a run whose loss was expected before it began; None of others."""
    before = config.expected
    if before is None:
        return None
    expected, steps, costs = before, 0.0, 0.0
    latest = history.latest
    done = _progress(config, latest.step, latest.seconds) if latest is not None else 0.0
    is_known = latest is not None and latest.step > 0 and (latest.step >= FEWEST_STEPS or done >= SPEED_KNOWN)
    if config.train.minutes is not None and before.steps and latest is not None and is_known:
        steps = latest.step / max(done, 1e-9)
        if before.steps > SLOWER * steps:
            slowed = _by_law(config, steps) / _by_law(config, before.steps)
            costs = before.bits_per_byte * (slowed - 1)
            scaled = {name: getattr(before, name) * slowed for name in ("bits_per_byte", "low", "high")}
            expected = msgspec.structs.replace(before, **scaled)
    return Course(_corrected(config, history, expected), steps, costs)


def course_in_words(config: RunConfig, history: "LossHistory") -> str:
    """The course in a sentence or two; empty for a run of which nothing was expected."""
    course = course_of(config, history)
    if course is None or config.expected is None:
        return ""
    now, before = course.expected, config.expected
    slower = f"Slower than planned: some {whole(round(course.steps))} steps fit instead of {whole(before.steps)}"
    if course.steps and before.steps > FAR_SLOWER * course.steps:
        return f"{slower}. What was expected, {before.in_words}, is out of reach."
    if now == before or len(history.val_losses) < 2:  # that before the first step alone says nothing of the end
        words = f"Expected at the end: {now.in_words}."
    else:
        words = f"On course for {now.in_words}; expected before it began: {before.in_words}."
    if course.costs and not before.is_wide:
        words += f" {slower}, which costs about {fixed(course.costs, 2)} bits per byte."
    return words


def _progress(config: RunConfig, step: float, seconds: float) -> float:
    train = config.train
    done = step / train.steps if train.steps is not None else seconds / (60 * (train.minutes or 1.0))
    return min(1.0, max(0.0, done))


def _by_law(config: RunConfig, steps: float) -> float:
    """By the law for a usual text; what it says of two lengths is compared."""
    return LAW.bits_per_byte(learning_of(config.model, config.train, steps, config.data.split, config.data.train_bytes, None))


def _corrected(config: RunConfig, history: "LossHistory", before: ExpectedLoss) -> ExpectedLoss:
    """What is expected, with what the evaluations so far say of the end, each as sure as its range is narrow."""
    import numpy as np

    evaluation = history.last_evaluation
    progress = [_progress(config, step, seconds) for step, seconds in zip(history.eval_steps, history.eval_seconds, strict=True)]
    if evaluation is None or not evaluation.val_loss or not evaluation.bits_per_byte or progress[-1] < STILL_TO_FALL[0][0]:
        return before
    losses = [float(loss) for loss in history.val_losses]
    if len(losses) < 2:  # that before the first step, late on a busy machine
        return before
    at_half = float(np.interp(progress[-1] / 2, progress, losses))
    fell = max(0.0, math.log(at_half / losses[-1]))
    to_fall = fell * float(np.interp(progress[-1], [at for at, _ in STILL_TO_FALL], [share for _, share in STILL_TO_FALL]))
    lowest = min(losses[1:]) * evaluation.bits_per_byte / evaluation.val_loss
    spread, own_spread = math.log(before.high / before.bits_per_byte), SURE + AS_UNSURE * to_fall
    weight, own_weight = 1 / max(spread, SURE) ** 2, 1 / own_spread**2
    floor = config.data.entropy_bits_per_byte or 0.0  # no loss is lower than the entropy of the source
    own = max(math.log(lowest) - to_fall, math.log(floor) if floor else -math.inf)
    center = math.exp((math.log(before.bits_per_byte) * weight + own * own_weight) / (weight + own_weight))
    factor = math.exp((weight + own_weight) ** -0.5)
    low = min(center, max(center / factor, floor))
    return msgspec.structs.replace(before, bits_per_byte=center, low=low, high=center * factor)
