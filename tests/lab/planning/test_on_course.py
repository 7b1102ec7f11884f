"""The loss to expect of a run while it trains, by its own curve and its own speed."""

import math

import msgspec
import pytest

from lab.planning.expected_loss import course_in_words, course_of
from lab.planning.prepare_run import prepare_run
from lab.planning.settings_table import RunRequest
from lab.runs.expected_loss_range import ExpectedLoss
from lab.runs.run_history import LossHistory
from lab.runs.run_schema import Metric, RunConfig

EXPECTED = ExpectedLoss(bits_per_byte=2.0, low=1.8, high=2.22, by_law=2.0, steps=1000)
BITS = 0.5
"""Bits per byte of a validation loss of 1."""


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> RunConfig:
    config = prepare_run(RunRequest(text="stories", preset="nano", steps=1, home=tmp_path_factory.mktemp("home"))).config
    train = msgspec.structs.replace(config.train, steps=None, minutes=1.0)
    return msgspec.structs.replace(config, train=train, expected=EXPECTED)


def history_of(losses: dict[float, float], steps: int = 1000) -> LossHistory:
    """A run of a minute with these losses in bits per byte after shares of its time, quick enough for so many steps."""
    history = LossHistory()
    for share, loss in losses.items():
        step = round(share * steps)
        line = Metric(step=step, tokens=step, epoch=0.0, seconds=60 * share, loss=2.0, val_loss=loss / BITS, bits_per_byte=loss)
        history.add([line])
    return history


def test_the_curve_of_a_run_corrects_what_was_expected_and_narrows_it(config: RunConfig) -> None:
    """It was at 2.6 after a quarter, 2.4 at half of its time, and as curves go falls little more than another 6%."""
    widths, centers = [], []
    for losses in ({0.0: 8.0}, {0.0: 8.0, 0.25: 2.6, 0.5: 2.4}, {0.0: 8.0, 0.25: 2.6, 0.5: 2.4, 0.99: 2.26}):
        course = course_of(config, history_of(losses))
        assert course is not None
        now = course.expected
        centers.append(now.bits_per_byte)
        widths.append(math.log(now.high / now.low))
        assert course.costs == 0
    assert centers[0] == 2.0
    assert 2.05 < centers[1] < 2.3
    assert centers[2] == pytest.approx(2.26, rel=0.02)
    assert widths == sorted(widths, reverse=True)
    assert widths[2] < 0.1 * widths[0]


def test_no_course_leads_below_the_entropy_of_the_source(config: RunConfig) -> None:
    """Its text is made by a grammar whose entropy is known; its loss falls so fast that its curve alone would lead below it."""
    entropy = config.data.entropy_bits_per_byte
    assert entropy is not None
    expected = ExpectedLoss(bits_per_byte=1.3 * entropy, low=entropy, high=2.2 * entropy, by_law=0.3, steps=1000)
    falling = history_of({0.0: 8.0, 0.08: 8 * entropy, 0.16: 2 * entropy})
    course = course_of(msgspec.structs.replace(config, expected=expected), falling)
    assert course is not None
    assert entropy <= course.expected.low <= course.expected.bits_per_byte
    assert course.expected != expected


@pytest.mark.parametrize(
    ("low", "loss", "high", "told"),
    [
        (0.160, 0.199, 0.345, "0.16 to 0.34 bits per byte"),
        (0.187, 0.190, 0.193, "0.190 bits per byte (0.187 to 0.193)"),
        (1.98, 2.06, 2.15, "2.06 bits per byte (1.98 to 2.15)"),
    ],
)
def test_a_range_is_told_as_exactly_as_the_loss_it_is_compared_with(low: float, loss: float, high: float, told: str) -> None:
    assert ExpectedLoss(bits_per_byte=loss, low=low, high=high, by_law=loss).in_words == told


def test_a_run_slower_than_planned_says_at_once_what_that_costs(config: RunConfig) -> None:
    quick, slow, halted = (history_of({0.0: 8.0, 0.05: 4.0}, steps) for steps in (1000, 400, 200))
    assert course_in_words(config, quick).startswith("Expected at the end: 2.00 bits per byte (1.80 to 2.22).")
    told = course_in_words(config, slow)
    assert "Slower than planned: some 400 steps fit instead of 1,000, which costs about 0." in told
    assert course_in_words(config, halted).endswith(
        "200 steps fit instead of 1,000. What was expected, 2.00 bits per byte (1.80 to 2.22), is out of reach."
    )
    course = course_of(config, slow)
    assert course is not None
    assert course.expected.bits_per_byte == pytest.approx(2.0 + course.costs)
    assert course.costs > 0.02


def test_a_machine_so_busy_that_it_takes_a_few_steps_only_is_slow_at_once(config: RunConfig) -> None:
    history = history_of({0.0: 8.0})
    history.add([Metric(step=4, tokens=4, epoch=0.0, seconds=20.0, loss=2.0)])
    assert course_in_words(config, history).startswith("Slower than planned: some 12 steps fit instead of 1,000.")


def test_an_evaluation_before_the_first_step_says_nothing_of_the_end_however_late_it_comes(config: RunConfig) -> None:
    """On a busy machine the first step may come when a third of the minutes is over."""
    history = LossHistory()
    history.add([Metric(step=0, tokens=0, epoch=0.0, seconds=23, val_loss=8.0 / BITS, bits_per_byte=8.0)])
    assert course_in_words(config, history) == "Expected at the end: 2.00 bits per byte (1.80 to 2.22)."


def test_of_a_run_of_which_nothing_was_expected_nothing_is_told(config: RunConfig) -> None:
    assert course_of(msgspec.structs.replace(config, expected=None), history_of({0.0: 8.0, 0.5: 2.4})) is None
    assert course_in_words(msgspec.structs.replace(config, expected=None), history_of({0.0: 8.0})) == ""
