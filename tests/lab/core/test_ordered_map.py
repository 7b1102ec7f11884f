import threading
from collections.abc import Iterator

import pytest

from lab.core.ordered_map import ordered_map


def test_results_are_in_order_and_no_more_is_read_than_may_wait() -> None:
    """Of three items of size 1 that may wait, the first is kept back until the other two are done."""
    done = [threading.Event() for _ in range(9)]
    read: list[int] = []

    def items() -> Iterator[int]:
        for number in range(9):
            read.append(number)
            yield number

    def work(number: int) -> int:
        if number % 3 == 0:
            assert all(event.wait(30) for event in done[number + 1 : number + 3])
        done[number].set()
        return number * number

    results = ordered_map(work, items(), threads=3, size=lambda number: 1, most=3)
    assert next(results) == 0
    assert len(read) == 4
    assert list(results) == [number * number for number in range(1, 9)]


def test_an_item_beyond_the_bound_goes_alone() -> None:
    assert list(ordered_map(str, [5, 50, 5], threads=2, size=lambda number: number, most=9)) == ["5", "50", "5"]
    assert list(ordered_map(str, [], threads=2, size=lambda number: number, most=9)) == []


def test_errors_of_the_function_and_of_the_stream_are_passed_on() -> None:
    def broken() -> Iterator[int]:
        yield 1
        raise OSError("the disk is gone")

    with pytest.raises(ZeroDivisionError):
        list(ordered_map(lambda number: 1 // number, [1, 0, 1], 2, lambda number: 1, 9))
    with pytest.raises(TimeoutError, match="its own"):
        list(ordered_map(_time_out, [1], 2, lambda number: 1, 9))
    with pytest.raises(OSError, match="disk is gone"):
        list(ordered_map(str, broken(), 2, lambda number: 1, 9))


def _time_out(number: int) -> None:
    raise TimeoutError("its own")


def test_waiting_for_a_long_item_can_be_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lab.core.ordered_map.SECONDS_BETWEEN_CALLS", 0.001)
    release, started = threading.Event(), []

    def work(number: int) -> None:
        started.append(number)
        release.wait(30)

    def cancel() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(ordered_map(work, range(100), 1, lambda number: 1, 100, cancel))
    release.set()
    assert len(started) <= 2
