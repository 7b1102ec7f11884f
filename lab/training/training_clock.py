"""Seconds spent training, and tokens per second."""

import math
import time

AVERAGE_SECONDS = 2.0
"""Time constant of the average speed."""


class Clock:
    """Seconds spent training while it runs: evaluations and saving included, unless the loop stops it for them; pauses not."""

    def __init__(self, seconds: float = 0.0) -> None:
        self._before = seconds
        self._since: float | None = time.monotonic()

    @property
    def is_running(self) -> bool:
        return self._since is not None

    def seconds(self) -> float:
        return self._before + (0.0 if self._since is None else time.monotonic() - self._since)

    def stop(self) -> None:
        self._before, self._since = self.seconds(), None

    def start(self) -> None:
        """Start again after `stop`; a running clock is not affected."""
        if self._since is None:
            self._since = time.monotonic()


class Throughput:
    """Exponential moving average of tokens per second, over steps alone."""

    def __init__(self, step_seconds: float = 0.0) -> None:
        """`step_seconds` is the duration of the latest step before, in a run that is resumed."""
        self.step_seconds = step_seconds
        """Duration of the latest step."""
        self._tokens = 0.0
        self._seconds = 0.0

    def add(self, tokens: int, seconds: float) -> None:
        """Count a step."""
        kept = math.exp(-seconds / AVERAGE_SECONDS)
        self._tokens = self._tokens * kept + tokens
        self._seconds = self._seconds * kept + seconds
        self.step_seconds = seconds

    def per_second(self) -> float:
        return self._tokens / self._seconds if self._seconds else 0.0
