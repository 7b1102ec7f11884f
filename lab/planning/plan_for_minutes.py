"""The plan for a number of minutes: the settings with the lowest expected validation loss for a text and a machine, and in
words."""

import functools
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

import msgspec

from lab.core.machine import machine
from lab.core.number_format import bytes_, counted, duration, fixed, whole
from lab.planning.expected_loss import LAW, SMALLEST, Learning, learning_of
from lab.planning.resolve_run import UNKNOWN_BYTES, ResolvedRun, TextSize, resolve
from lab.planning.run_cost import SECONDS_AROUND, epochs_in_words, evaluation_share
from lab.planning.settings_table import AUTO, RunRequest, SettingError
from lab.planning.step_time import TIMES, StepSpeed, StepTimer, step_key
from lab.planning.text_difficulty import OUTCOMES, Correction, Outcome, correction
from lab.runs.expected_loss_range import ExpectedLoss
from models.config import ModelConfig
from models.parameter_count import BYTES, parameter_count

OTHER_MINUTES = (1.0, 5.0, 20.0)
SHORTER = tuple(round(30 * 1.5**power) for power in range(30))
"""Steps after which a run may end early, where it would only memorize its text in the rest of its minutes."""
WORTH_ENDING = 1.4
"""Steps that there is time for over those after which a run ends early, at least."""
WORTH_WAITING = 0.002
"""Share of the loss that more minutes must gain."""
FEW_EPOCHS = 5.0
"""Epochs up to which hardly anything is memorized, so that no shorter run is better."""
SHAPES = ((2, 64), (3, 96), (4, 128), (4, 192), (6, 192), (6, 256), (6, 384), (8, 512), (12, 768))
"""Layers and width of the candidates."""
HEAD_WIDTH, HEAD_WIDTH_OF_WIDE, WIDE = 32, 64, 384
VOCABULARIES = ((512, 0), (1024, 100_000), (2048, 1_000_000), (4096, 2_000_000))
"""Sizes that BPE may learn, each with the bytes of text from which on it is a candidate."""
REGULARIZATION = ((0.0, 0.1), (0.0, 0.3), (0.0, 1.0), (0.1, 0.3), (0.1, 1.0), (0.3, 1.0), (0.3, 3.0))
"""Dropout and weight decay of the candidates: the more often a text is read, the more of both."""
AVERAGE, LONG_AVERAGE = 0.05, 0.1
"""Shares of the steps over which weights are averaged, which costs next to nothing. The latter for a text that is read more than
`FEW_EPOCHS` times without dropout, where the last weights begin to memorize: see tests/lab/planning/average_sweep.md."""
MOST_BYTES_PER_TOKEN = 5
MOST_PARAMETERS_PER_TOKEN = 100
"""Beyond so many for each token of its text, a model does nothing but memorize it: no run of the sweep was as large."""
CONTEXTS, SMALL_CONTEXTS = (128, 64), (32, 16)
"""The candidates, and those for a text whose validation part is too short for them."""
CHOSEN = ("vocab", "layers", "heads", "width", "context", "dropout")
"""Settings of the form that are chosen for the minutes."""


@dataclass(frozen=True)
class Candidate:
    """A run that could be trained, and what is expected of it."""

    run: ResolvedRun
    step_seconds: float
    steps: float
    is_measured: bool
    """True if `step_seconds` were measured on this machine."""
    minutes: float
    """Its length; less than was asked for where it ends early."""
    by_law: float
    """The validation loss to expect of the weights that are kept, by the law alone."""
    factor: float = 1.0
    """Correction of the law, by earlier runs on the same text."""

    @property
    def epochs(self) -> float:
        return self.steps * self.run.tokens_per_step / train_tokens(self.run.text, self.run.model.vocab_size)

    @property
    def bits_per_byte(self) -> float:
        """The validation loss to expect of the weights that are kept."""
        return self.factor * self.by_law

    @property
    def expected(self) -> ExpectedLoss | None:
        """The same, with the range that held for eight of ten texts that the law was not fitted to; None without a pilot, and
        for a text smaller than all of these."""
        if self.run.text.pilot is None or self.run.text.pilot.bytes < SMALLEST:
            return None
        loss, spread = self.bits_per_byte, math.exp(LAW.range_of(_learning(self.run, self.steps)))
        low = min(loss, max(loss / spread, self.run.text.pilot.entropy or 0.0))
        return ExpectedLoss(bits_per_byte=loss, low=low, high=loss * spread, by_law=self.by_law, steps=round(self.steps))

    @property
    def resolved(self) -> ResolvedRun:
        """The run, with every choice in its request. One that ends early has a number of steps: on a quicker machine the rest of
        its minutes would only memorize its text."""
        length = {"minutes": self.run.train.minutes, "steps": self.run.train.steps}
        return replace(self.run, request=msgspec.structs.replace(self.run.request, **length, expected=self.expected))


@dataclass(frozen=True)
class MinutesPlan:
    """The best candidate for the minutes, beside others."""

    minutes: float
    best: Candidate
    by_shape: tuple[Candidate, ...]
    """The best one of each shape, from the smallest; the best of all among them."""
    others: tuple[tuple[float, Candidate], ...]
    """The best for other minutes."""
    correction: Correction
    is_final: bool = False
    """True of the plan that is trained: its pilot was trained, or there was no time or too little text for one."""

    @property
    def awaits_pilot(self) -> bool:
        """True while the pilot is to be trained, which may change the plan."""
        return not self.is_final and self.best.run.text.pilot is None


def is_planned(request: RunRequest) -> bool:
    """True if the settings that were not asked for are chosen for the minutes."""
    return request.preset == AUTO and request.minutes is not None and request.start is None


FEWEST_TOLD = 20
"""Steps from which on a loss is told for other minutes: the law says nothing of fewer."""
MOST_PREPARING, STARTED_LATER = 0.5, 60.0
"""Share of a run's minutes that preparing takes at most; seconds after them from which on a run is one that was started later."""


def seconds_counted(passed: float, minutes: float) -> float:
    """Seconds of a run's minutes that are over before its training, so many after it was asked for."""
    return min(passed, MOST_PREPARING * 60 * minutes) if 0 < passed < 60 * minutes + STARTED_LATER else 0.0


def plan_for_minutes(
    request: RunRequest, text: TextSize, speed: StepSpeed, outcomes: Sequence[Outcome] = (), passed: float = 0.0
) -> MinutesPlan:
    """Choose every setting that decides the loss and was not asked for; those that were are kept. `passed` are the seconds of the
    run's minutes that are over already.

    `outcomes` are those of earlier runs. `text.pilot` says how hard the text is to predict; where it is not known yet, no loss is
    expected, and the choice is that for common prose.
    Raises SettingError if there can be no such run.
    """
    assert request.minutes is not None, "is_planned"
    corrected = correction(outcomes, text.source)
    runs = [each for run in _runs(request, text, speed) for each in _regularized(run, request)]
    speed = speed.among((run.model, run.train) for run in runs)
    per_step = [(_learning(run, 1.0), speed.seconds((run.model, run.train)) * (1 + evaluation_share(run))) for run in runs]

    def ranked(minutes: float, passed: float = 0.0) -> list[tuple[float, float, int, float]]:
        """From the lowest expected loss to the highest: seconds of a step, the run's number, and steps as long as more gain."""
        found = []
        for number, (of_a_step, step) in enumerate(per_step):
            by_length: list[tuple[float, float]] = []
            most_steps = max(1.0, (60 * minutes - SECONDS_AROUND - passed) / step)
            for steps in (most_steps, *(each for each in reversed(SHORTER) if each * WORTH_ENDING < most_steps)):
                learning = msgspec.structs.replace(of_a_step, tokens=steps * of_a_step.tokens)
                by_length.append((LAW.by_learning(learning), steps))
                if learning.tokens < FEW_EPOCHS * learning.unique_tokens:
                    break  # a shorter run would only learn less
            most = min(by_length)[0] * (1 + WORTH_WAITING)
            loss, steps = min((each for each in by_length if each[0] <= most), key=lambda each: each[1])
            found.append((loss if steps > 1 else math.inf, step, number, steps))  # what has no time for two steps: the quickest
        return sorted(found)

    def candidate(number: int, steps: float, minutes: float, passed: float = 0.0) -> Candidate:
        run, (of_a_step, step) = runs[number], per_step[number]
        is_measured = speed.is_measured((run.model, run.train))
        around, length = SECONDS_AROUND + passed, minutes
        learning = msgspec.structs.replace(of_a_step, tokens=steps * of_a_step.tokens)
        is_often = learning.dropout == 0 and learning.tokens >= FEW_EPOCHS * learning.unique_tokens
        if is_often and run.train.average and request.average is None:
            asked = msgspec.structs.replace(run.request, average=LONG_AVERAGE)
            run = replace(run, request=asked, train=msgspec.structs.replace(run.train, average=LONG_AVERAGE))
        if steps < max(1.0, (60 * minutes - around) / step):
            length = (around + steps * step) / 60
            run = replace(run, train=msgspec.structs.replace(run.train, minutes=None, steps=round(steps)))
        return Candidate(run, step, steps, is_measured, length, LAW.bits_per_byte(learning), corrected.factor)

    shapes: dict[tuple[int, int], Candidate] = {}
    for *_, number, steps in ranked(request.minutes, passed):
        model = runs[number].model
        if (model.layers, model.width) not in shapes:
            shapes[model.layers, model.width] = candidate(number, steps, request.minutes, passed)
    others = ((minutes, candidate(*ranked(minutes)[0][2:], minutes)) for minutes in OTHER_MINUTES if minutes != request.minutes)
    return MinutesPlan(
        minutes=request.minutes,
        best=next(iter(shapes.values())),
        by_shape=tuple(sorted(shapes.values(), key=lambda each: each.run.parameters)),
        others=tuple((minutes, each) for minutes, each in others if each.steps >= FEWEST_TOLD),
        correction=corrected,
    )


def _learning(run: ResolvedRun, steps: float) -> Learning:
    text, vocabulary = run.text, run.model.vocab_size
    unique_bytes = (text.bytes or UNKNOWN_BYTES) * text.training_share
    return learning_of(run.model, run.train, steps, train_tokens(text, vocabulary), unique_bytes, text.pilot)


def _regularized(run: ResolvedRun, asked: RunRequest) -> Iterator[ResolvedRun]:
    """The run with each pair of dropout and weight decay, with what was asked for in them."""
    asked_drop, asked_decay = asked.dropout, asked.weight_decay
    reasons = run.reasons | dict.fromkeys(CHOSEN, "the lowest expected loss for the minutes")
    for dropout, decay in dict.fromkeys(
        (drop if asked_drop is None else asked_drop, decay if asked_decay is None else asked_decay)
        for drop, decay in REGULARIZATION
    ):
        request = msgspec.structs.replace(run.request, dropout=dropout, weight_decay=decay)
        train = msgspec.structs.replace(run.train, weight_decay=decay)
        yield replace(run, request=request, model=replace(run.model, dropout=dropout), train=train, reasons=reasons)


def _runs(asked: RunRequest, text: TextSize, speed: StepSpeed) -> Iterator[ResolvedRun]:
    """Every combination of shape, vocabulary and context that was left open and that the machine has room for, at least one."""
    size = text.bytes or UNKNOWN_BYTES
    held = round(size * (1 - text.training_share)) or UNKNOWN_BYTES  # the size of a text of its own is not known here
    if asked.context is not None and asked.context > held:
        words = f"A context of {whole(asked.context)} tokens does not fit into the {whole(held)} bytes of text for validation"
        raise SettingError("context", f"{words}; choose a smaller context or a longer text.")
    fitting = [each for each in (*CONTEXTS, *SMALL_CONTEXTS) if each * MOST_BYTES_PER_TOKEN < held] or SMALL_CONTEXTS[-1:]
    contexts = [each for each in fitting if each in CONTEXTS] or fitting[:1]
    is_open = asked.tokenizer == "bpe" and asked.vocab is None and text.vocab_size is None
    learnable = [vocabulary for vocabulary, least in VOCABULARIES if size >= least]
    average = AVERAGE if asked.average is None and (asked.ranks or 1) == 1 and asked.gpus is None else asked.average
    problem: SettingError | None = None
    count = 0
    for (layers, width), vocab, context in product(
        dict.fromkeys((asked.layers or layers, asked.width or width) for layers, width in SHAPES),
        learnable if is_open else [asked.vocab],
        contexts if asked.context is None else [asked.context],
    ):
        shape = {"layers": layers, "width": width, "heads": asked.heads or _heads(width), "vocab": vocab, "context": context}
        try:
            run = resolve(msgspec.structs.replace(asked, **shape, average=average), text, speed.machine)
        except SettingError as error:
            problem = error
            continue
        most = MOST_PARAMETERS_PER_TOKEN * train_tokens(text, run.model.vocab_size)
        if count == 0 or (run.memory < speed.machine.memory and run.parameters < most):
            count += 1
            yield replace(run, text=in_vocabulary(text, run.model.vocab_size))
    if not count and problem is not None:
        raise problem


def _heads(width: int) -> int:
    """Heads of the usual width, as many as divide the model's."""
    wanted = max(1, width // (HEAD_WIDTH if width < WIDE else HEAD_WIDTH_OF_WIDE))
    return next(heads for heads in range(wanted, 0, -1) if width % heads == 0)


@functools.lru_cache(maxsize=256)
def train_tokens(text: TextSize, vocabulary: int) -> float:
    """Tokens of the training part in so large a vocabulary: by those that were counted, perhaps in another, else by the law."""
    counted = in_vocabulary(text, vocabulary).train_tokens
    return counted or (text.bytes or UNKNOWN_BYTES) * text.training_share / LAW.bytes_per_token(vocabulary)


def in_vocabulary(text: TextSize, vocabulary: int) -> TextSize:
    """The text with about as many tokens as it has in so large a vocabulary, where they were counted in another."""
    if text.tokens is None or text.counted_with in (None, vocabulary):
        return text
    tokens = text.tokens * LAW.bytes_per_token(text.counted_with) / LAW.bytes_per_token(vocabulary)
    return replace(text, tokens=round(tokens), counted_with=vocabulary)


MOST_TIMED = 6
"""Shapes that are timed, at most: each takes some seconds."""
TIMING_SHARE = 0.3
"""Share of the minutes that may have passed when another shape is timed: on a busy machine they would pass without training."""


def measured_plan(request: RunRequest, text: TextSize, home: Path, passed: float, waiting: Callable[[], None]) -> MinutesPlan:
    """The plan, `passed` seconds after the run was asked for. `waiting` is called while steps are timed, and cancels by raising.
    Raises UserError where the steps cannot be computed, SettingError if there can be no such run."""
    times, outcomes, begun = dict(TIMES.known(home)), OUTCOMES.known(home), time.monotonic()
    for turn in range(MOST_TIMED + 1):
        now = passed + time.monotonic() - begun
        before = seconds_counted(now, request.minutes or 0.0)
        plan = plan_for_minutes(request, text, StepSpeed(machine(), times), outcomes, before)
        if plan.best.is_measured or turn == MOST_TIMED or now > TIMING_SHARE * 60 * plan.minutes:
            break
        run = plan.best.run
        seconds = StepTimer(run.model, run.train, home).measure(waiting=waiting)
        assert seconds is not None, "never cancelled"
        times[step_key(run.model, run.train)] = seconds
    return plan


COLUMNS = 10
"""Width of the picture's scale: with the rest of a line it fits beside the form at 120 columns."""
ROWS = 5
"""Shapes in the picture, about the chosen one."""


def shape_in_words(model: ModelConfig) -> str:
    """`4 × 192`: layers and width."""
    return f"{model.layers} × {model.width}"


def describe_plan(plan: MinutesPlan) -> str:
    """The plan in a line: `4 layers × width 128, BPE 1,024, batch 16, 2.1 epochs, weight decay 0.1, 3.5 MB`.

    Its epochs are told once its steps were timed, and the pilot is known, which may end the run early."""
    model, train, text = plan.best.run.model, plan.best.run.train, plan.best.run.text
    is_known = text.bytes is not None and not plan.awaits_pilot and (plan.best.is_measured or train.steps is not None)
    read = f", {epochs_in_words(plan.best.epochs)}" if is_known else ""
    kind = "BPE" if plan.best.run.request.tokenizer == "bpe" else plan.best.run.request.tokenizer
    dropout = f", dropout {model.dropout:g}" if model.dropout else ""
    return (
        f"{counted(model.layers, 'layer')} × width {model.width}, {kind} {whole(model.vocab_size)}, context {model.context}, "
        f"batch {train.batch}{read}{dropout}, weight decay {train.weight_decay:g}, {bytes_(BYTES * parameter_count(model))}"
    )


def describe_expectation(plan: MinutesPlan) -> str:
    """The loss to expect, in bits per byte, and its range; or why there is none."""
    expected = plan.best.expected
    if expected is None and plan.best.run.text.pilot is not None:
        return "not known: the text is shorter than all that such runs were measured on"
    if expected is None and not plan.awaits_pilot:
        return "not known: there was no time, or too little text, for the pilot, a very small model that tells how hard it is"
    if expected is None:
        return "not known yet: first a very small model, the pilot, has to be trained on the text for some seconds"
    if expected.is_wide:
        return f"{expected.in_words}, no closer: the pilot was still falling, unlike those of common texts"
    words = f"{expected.in_words} for 8 of 10 texts"
    return f"{words}; {plan.correction}" if plan.correction.runs else words


def describe_end(plan: MinutesPlan) -> str:
    """The reason why a run ends before its minutes; empty if it does not, and where only its pilot will say when."""
    if plan.best.minutes >= plan.minutes or plan.awaits_pilot:
        return ""
    return (
        f"ends after {minutes_in_words(plan.best.minutes)}: by then the text has been read for "
        f"{epochs_in_words(plan.best.epochs)}, and more time would gain nothing but memorization"
    )


def minutes_in_words(minutes: float) -> str:
    return f"{minutes:g} min" if minutes == round(minutes) else duration(60 * minutes)


def other_minutes(plan: MinutesPlan) -> str:
    """The losses that other minutes would give: `1 min 2.31 (2 × 64), 20 min 1.97 (6 × 256)`."""
    return ", ".join(
        f"{minutes_in_words(minutes)} {fixed(each.bits_per_byte, 2)} ({shape_in_words(each.run.model)})"
        if each.minutes == minutes
        else f"{minutes_in_words(minutes)} no gain over {minutes_in_words(each.minutes)}"
        for minutes, each in plan.others
    )


def plan_picture(plan: MinutesPlan) -> list[str]:
    """A line for each size of model: what it would reach in these minutes, as a point on a scale from the lowest loss."""
    at = next((index for index, each in enumerate(plan.by_shape) if each is plan.best), 0)
    first = max(0, min(at - ROWS // 2, len(plan.by_shape) - ROWS))
    shown = plan.by_shape[first : first + ROWS]
    losses = [each.bits_per_byte for each in shown]
    low, high = min(losses), max(losses)
    lines = []
    for each in shown:
        at = round((COLUMNS - 1) * (each.bits_per_byte - low) / ((high - low) or 1.0))
        mark = "▸" if each is plan.best else " "
        scale = "·" * at + "●" + " " * (COLUMNS - 1 - at)
        lines.append(f"{mark}{shape_in_words(each.run.model):>8} {scale} {fixed(each.bits_per_byte, 2)}")
    return lines


def plan_facts(plan: MinutesPlan) -> tuple[tuple[str, str], ...]:
    """The plan as it is told before a run: labels, each with its line."""
    words = describe_plan(plan)
    if plan.awaits_pilot:
        words += "; first its pilot is trained and its steps are timed here, which may change it and decide when it ends"
    elif not plan.best.is_measured and not plan.is_final:
        words += "; its steps are timed here first, which may change it"
    facts = [("best", words), ("loss", describe_expectation(plan))]
    if end := describe_end(plan):
        facts.append(("end", end))
    if plan.best.expected is not None and not plan.best.expected.is_wide:
        first, *rest = plan_picture(plan)
        facts += [("by size", first), *(("", line) for line in rest)] if rest else []
        facts.append(("by time", other_minutes(plan)))
    return tuple(facts)
