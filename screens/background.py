"""Background work: a widget's in a thread, the newest of its group only; a call after a moment; memory given back."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import ParamSpec, TypeVar, cast

from textual import work
from textual.dom import DOMNode
from textual.message_pump import MessagePump
from textual.timer import Timer
from textual.worker import get_current_worker

from screens.terminal.textual_internals import is_being_removed

P = ParamSpec("P")
R = TypeVar("R")


def latest(group: str) -> Callable[[Callable[P, Coroutine[None, None, None]]], Callable[P, None]]:
    """Make a coroutine method of a widget its background work: a new call in the group cancels the one before."""
    return lambda method: cast(Callable[P, None], work(group=group, exclusive=True)(method))


async def in_thread(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Await a function in a thread, in a widget's background work; there, its worker's `is_cancelled` tells it to end."""
    return await still_wanted(asyncio.to_thread(function, *args, **kwargs))


async def still_wanted(answer: Awaitable[R]) -> R:
    """Await an answer in a widget's background work, which is cancelled if the widget is being removed when it comes.

    Textual cancels the work only when the widget's children have gone already.
    """
    try:
        return await answer
    finally:
        if is_being_removed(get_current_worker().node):
            raise asyncio.CancelledError


def ends_with_worker() -> Callable[[], None]:
    """A function for a thread to call now and then: it ends work whose worker has been cancelled."""
    worker = get_current_worker()

    def check() -> None:
        if worker.is_cancelled:
            raise asyncio.CancelledError

    return check


def now_and_then(seconds: float) -> Callable[[], bool]:
    """A function for a thread to call often: it ends work that is not wanted any more, and is true once in so many seconds."""
    end_if_unwanted, last = ends_with_worker(), time.monotonic()

    def is_time() -> bool:
        nonlocal last
        end_if_unwanted()
        if is_due := time.monotonic() - last >= seconds:
            last = time.monotonic()
        return is_due

    return is_time


def paced(tell: Callable[[float], object]) -> Callable[[float], None]:
    """A function for a thread to call with the share that is done: it tells each percent, and ends work that is not wanted."""
    end_if_unwanted, told = ends_with_worker(), 0.0

    def report(share: float) -> None:
        nonlocal told
        end_if_unwanted()
        if share >= told + 0.01:
            told = share
            tell(share)

    return report


def is_working(node: DOMNode, group: str) -> bool:
    """True if one of the workers that this widget has started in the group runs."""
    return any(worker.node is node and worker.group == group and worker.is_running for worker in node.workers)


class DelayedCall:
    """Calls once, after a delay, unless it is cancelled or started again before.

    A Textual timer that has run out only posts an event; `Timer.stop` does not take that back. Here it does nothing.
    """

    def __init__(self, owner: MessagePump) -> None:
        self._owner = owner
        self._timer: Timer | None = None

    def start(self, seconds: float, callback: Callable[[], object]) -> None:
        """Call `callback` after so many seconds, in place of what was to be called."""
        self.cancel()

        def ran_out() -> None:
            if self._timer is timer:
                self._timer = None
                callback()

        timer = self._timer = self._owner.set_timer(seconds, ran_out)

    def cancel(self) -> None:
        """Call nothing."""
        if self._timer is not None:
            self._timer.stop()
            self._timer = None


ARENA_MAX, TRIM_THRESHOLD = -8, -1
"""Names of glibc's malloc parameters, from malloc.h."""

TRIMMED_ABOVE = 128 * 1024
"""Bytes at the end of the heap above which it shrinks; glibc would raise this with each large block that is freed."""


def return_freed_memory() -> None:
    """Have glibc keep one heap for all threads, and shrink it: 30 MB of the screen were holes in heaps of threads."""
    import ctypes

    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        mallopt(ARENA_MAX, 1)
        mallopt(TRIM_THRESHOLD, TRIMMED_ABOVE)
