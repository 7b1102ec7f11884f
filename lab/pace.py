"""Time spent training, and how fast it goes."""

import math
import time

SPEED_SECONDS = 2.0
"""Over about so long the speed is averaged."""


class Clock:
    """Seconds spent training, evaluations and saving included, pauses not."""

    def __init__(self, seconds: float = 0.0) -> None:
        self._before = seconds
        self._since: float | None = time.monotonic()

    def seconds(self) -> float:
        return self._before + (0.0 if self._since is None else time.monotonic() - self._since)

    def stop(self) -> None:
        self._before, self._since = self.seconds(), None

    def go(self) -> None:
        """Runs on; a clock that is running is not disturbed."""
        if self._since is None:
            self._since = time.monotonic()


class Speed:
    """Tokens per second of the steps alone, old ones forgotten exponentially."""

    def __init__(self) -> None:
        self.step_seconds = 0.0
        """How long the latest step took."""
        self._tokens = 0.0
        self._seconds = 0.0

    def add(self, tokens: int, seconds: float) -> None:
        """Counts a step."""
        kept = math.exp(-seconds / SPEED_SECONDS)
        self._tokens = self._tokens * kept + tokens
        self._seconds = self._seconds * kept + seconds
        self.step_seconds = seconds

    def per_second(self) -> float:
        return self._tokens / self._seconds if self._seconds else 0.0
