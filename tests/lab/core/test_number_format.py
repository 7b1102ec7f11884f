import math
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.core import number_format

finite = st.floats(-1e300, 1e300)


def read(text: str) -> float:
    return float(text.replace(number_format.MINUS, "-").replace(",", ""))


CASES: dict[Callable[..., str], dict[tuple[float, ...], str]] = {
    number_format.significant: {
        (0, 3): "0",
        (-0.0, 2): "0",
        (1, 3): "1.00",
        (9.999, 3): "10.0",
        (0.0456789, 3): "0.0457",
        (-0.9, 2): "−0.90",
        (123456, 3): "123456",
        (999_999.9, 3): "1.00e6",
        (-1.2e-7, 3): "−1.20e−7",
        (5e-324, 2): "4.9e−324",
        (math.nan, 3): "nan",
        (-math.inf, 3): "−∞",
    },
    partial(number_format.significant, digits=2, sign=True): {(0.5,): "+0.50", (-0.5,): "−0.50", (0,): "0"},
    number_format.fixed: {
        (0, 2): "0.00",
        (-0.0, 1): "0.0",
        (0.004, 2): "<0.01",
        (-0.004, 2): ">−0.01",
        (0.006, 2): "0.01",
        (-1.5, 1): "−1.5",
        (0.2, 0): "<1",
        (math.nan, 2): "nan",
    },
    # A change that would round to zero has one figure.
    partial(number_format.fixed, sign=True): {(0.0004,): "+4e−4", (-0.0004,): "−4e−4", (-0.02,): "−0.020", (0,): "0.000"},
    number_format.probability: {
        (0,): "0%",
        (1,): "100%",
        (0.412,): "41.2%",
        (5e-324,): "<0.1%",
        (0.0006,): "0.1%",
        (0.99996,): ">99.9%",
        (0.9994,): "99.9%",
        (math.nan,): "nan",
        (0.00001, 2): "<0.01%",
        (0.99999, 2): ">99.99%",
        (0.4, 0): "40%",
    },
    partial(number_format.probability, digits=2): {
        (0.412,): "41.2%",
        (0.01,): "1.0%",
        (0.00124,): "0.12%",
        (0.00049,): "0.049%",
        (3.21e-8,): "3.2e−6%",
        (0.0,): "0%",
        (1.0,): "100%",
        (0.99999,): ">99.9%",
    },
    number_format.count: {
        (0,): "0",
        (9_999,): "9,999",
        (10_000,): "10.0k",
        (99_949,): "99.9k",
        (99_960,): "100k",
        (999_600,): "1.0M",
        (124_439_808,): "124M",
        (1_557_611_200,): "1.6B",
        (5e15,): "5,000T",
        (-12_300,): "−12.3k",
        (math.nan,): "nan",
    },
    number_format.bytes_: {(0,): "0 B", (999,): "999 B", (1_000,): "1.0 kB", (999_999,): "1.0 MB", (3e12,): "3.0 TB"},
    number_format.duration: {
        (0,): "0 s",
        (0.01,): "<0.1 s",
        (0.4,): "0.4 s",
        (9.96,): "10 s",
        (59.6,): "1 min 00 s",
        (65,): "1 min 05 s",
        (3599.7,): "1 h 00 min",
        (7380,): "2 h 03 min",
        (86400 * 3 + 4 * 3600,): "3 d 04 h",
        (-65,): "−1 min 05 s",
        (math.inf,): "∞",
        (math.nan,): "nan",
    },
    number_format.ago: {(0,): "just now", (40,): "40 s ago", (65,): "1 min ago", (3 * 3600,): "3 h ago", (86400 * 2,): "2 d ago"},
    number_format.speed: {(0,): "0 tokens/s", (2.51,): "2.5 tokens/s", (8310,): "8,310 tokens/s", (12_345,): "12.3k tokens/s"},
    number_format.whole: {(1_115_394,): "1,115,394"},
    number_format.perplexity: {(0.0,): "1.0", (math.log(2),): "2.0", (3.2,): "25", (math.log(1024),): "1,024"},
    partial(number_format.counted, noun="layer"): {(0,): "0 layers", (1,): "1 layer", (1200,): "1,200 layers"},
}


@pytest.mark.parametrize("function", CASES)
def test_numbers_are_written_as(function: Callable[..., str]) -> None:
    assert {numbers: function(*numbers) for numbers in CASES[function]} == CASES[function]


@given(finite, st.integers(1, 12))
def test_significant_is_within_half_a_unit_of_its_last_figure(x: float, digits: int) -> None:
    shown = read(number_format.significant(x, digits))
    assert shown == pytest.approx(x, rel=0.5000001 * 10.0 ** (1 - digits), abs=5e-324)


def test_column_gives_every_value_the_decimals_of_the_largest() -> None:
    assert number_format.column([1.21, -3.194, 0.0001, 0]) == ["1.21", "−3.19", "<0.01", "0.00"]
    assert number_format.column([1234.5, 0.7]) == ["1234", "1"]
    assert number_format.column([9.999, 1]) == ["10.0", "1.0"]
    assert number_format.column([0, math.nan]) == ["0", "nan"]


@given(st.floats(0, 1, exclude_min=True, exclude_max=True), st.integers(0, 4))
def test_probability_never_claims_certainty(p: float, decimals: int) -> None:
    text = number_format.probability(p, decimals)
    assert text.startswith("<") or float(text.strip("<>%")) > 0
    assert text.startswith(">") or float(text.strip("<>%")) < 100


@pytest.fixture(params=["UTC+12", "UTC", "UTC-14"])
def zone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    with monkeypatch.context() as patch:
        patch.setenv("TZ", request.param)
        time.tzset()
        yield request.param
    time.tzset()


@pytest.mark.parametrize("unix_time", [-1e300, -1e17, -62_135_596_800.0, 0.0, 1e11, 253_402_300_799.0, 1e17, 1e300])
def test_any_time_of_a_file_is_a_date_of_four_figures_a_year(unix_time: float, zone: str) -> None:
    text = number_format.date_and_time(unix_time)
    assert len(text) == len("2026-02-03 04:05")
    assert abs(datetime.fromisoformat(text).year - min(max(1970 + unix_time / 31_556_952, 1), 9999)) <= 1


def test_a_date_is_local() -> None:
    at = datetime(2026, 2, 3, 4, 5, 59)
    assert number_format.date_and_time(at.timestamp()) == "2026-02-03 04:05"
    for year, bound in ((1, number_format.FIRST_DAY), (9999, number_format.LAST_DAY)):
        assert datetime(year, *((1, 2) if year == 1 else (12, 31)), tzinfo=UTC).timestamp() == bound


@pytest.mark.parametrize(
    ("before", "after", "texts"),
    [
        (0.10, 0.22, ("10.0%", "22.0%", "+12.0")),
        (0.0884, 0.0836, ("8.84%", "8.36%", "−0.48")),
        (0.088449, 0.088551, ("8.845%", "8.855%", "+0.010")),
        (0.5, 0.50001, ("50.0000%", "50.0010%", "+0.0010")),
        (0.5, 0.49999, ("50.0000%", "49.9990%", "−0.0010")),
        (0.5, 0.4999934, ("50.0%", "50.0%", "−6.6e−4")),
        (0.5, 0.5, ("50.0%", "50.0%", "0.0")),
        (0.0042, 0.1196, ("0.42%", "11.96%", "+11.54")),
        (0.5, 0.5 + 1e-9, ("50.0%", "50.0%", "+1.0e−7")),
        (0.9996, 0.9, (">99.9%", "90.0%", "−10.0")),
        (0.09347339, 0.10482761, ("9.3473%", "10.4828%", "+1.1354")),
    ],
)
def test_a_change_is_that_of_the_probabilities_and_of_what_is_printed_beside_it(
    before: float, after: float, texts: tuple[str, str, str]
) -> None:
    assert number_format.probability_change(before, after, digits=2) == texts


@given(st.floats(0, 1), st.floats(-1, 1), st.integers(0, 9), st.sampled_from([0, 2]))
def test_a_printed_change_is_right_to_two_figures(before: float, by: float, smaller: int, digits: int) -> None:
    after = min(1.0, max(0.0, before + by * 10.0**-smaller))
    *_, change = number_format.probability_change(before, after, digits=digits)
    assert read(change) == pytest.approx(100 * (after - before), rel=0.0501, abs=1e-12)
