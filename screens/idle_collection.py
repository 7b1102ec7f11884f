"""Memory of the screen's process: cycle collection while nobody types, and freed memory that goes back to the system."""

import asyncio
import ctypes
import gc
import sys

SECONDS_UNTIL_IDLE = 0.6
"""Time without a key after which a full pass holds up nobody, as far as can be known."""

WORTH_A_PASS = 5
"""Passes over the younger objects since the last full one, below which there is too little for another."""

PASSES_BETWEEN_FULL = 100
"""The same number from which Python makes a full pass anyway, also while a key is held; its own is 10, every fifth key."""


ARENA_MAX, TRIM_THRESHOLD = -8, -1
"""Names of glibc's malloc parameters, from malloc.h."""

TRIMMED_ABOVE = 128 * 1024
"""Bytes at the end of the heap above which it shrinks; glibc would raise this with each large block that is freed."""


def return_freed_memory() -> None:
    """Have glibc keep one heap for all threads, and shrink it: 30 MB of the screen were holes in heaps of threads."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        mallopt(ARENA_MAX, 1)
        mallopt(TRIM_THRESHOLD, TRIMMED_ABOVE)


class IdleCollection:
    """Makes the full passes of Python's cycle collector between the keys: one takes as long as a key may, and frees little."""

    def __init__(self) -> None:
        self._waiting: asyncio.TimerHandle | None = None
        gc.set_threshold(*gc.get_threshold()[:2], PASSES_BETWEEN_FULL)

    def key_pressed(self) -> None:
        """Put off the next full pass until no other key has come for a while."""
        if self._waiting is not None:
            self._waiting.cancel()
        self._waiting = asyncio.get_running_loop().call_later(SECONDS_UNTIL_IDLE, self._collect)

    def _collect(self) -> None:
        self._waiting = None
        if gc.get_count()[2] >= WORTH_A_PASS:
            gc.collect()
