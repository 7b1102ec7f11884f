"""Map a function over a stream on several threads, in order, with a bounded amount in memory."""

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")

SECONDS_BETWEEN_CALLS = 0.2
"""Longest time without a call of `waiting`."""


def ordered_map(
    function: Callable[[T], R],
    items: Iterable[T],
    threads: int,
    size: Callable[[T], int],
    most: int,
    waiting: Callable[[], None] = lambda: None,
) -> Generator[R]:
    """The results of `function` for `items`, in their order, computed on `threads` threads while this one reads the items.

    The items in work have a `size` of at most `most` together; a larger item goes alone.
    `waiting` is called while there is no result yet, and cancels by raising. What is running then ends by itself, unused.
    """
    running: deque[tuple[Future[R], int]] = deque()
    taken = 0
    pool = ThreadPoolExecutor(threads, thread_name_prefix="ordered-map")
    try:
        for item in items:
            cost = size(item)
            while running and (taken + cost > most or running[0][0].done()):
                future, freed = running.popleft()
                taken -= freed
                yield _result(future, waiting)
            running.append((pool.submit(function, item), cost))
            taken += cost
        while running:
            yield _result(running.popleft()[0], waiting)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _result(future: Future[R], waiting: Callable[[], None]) -> R:
    while True:
        try:
            return future.result(SECONDS_BETWEEN_CALLS)
        except TimeoutError:
            if future.done():
                raise  # the function's own
            waiting()
