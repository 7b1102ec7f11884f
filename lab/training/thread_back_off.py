"""Fewer threads where other programs take the cores of a training."""

import math

SLOW = 2.0
"""Multiple of its best duration that a step may take before threads are given up."""
STARVED = 0.8
"""Share of its threads' time: a trainer that gets less of the cores may be slowed by other processes, even if it never was
faster, and tries one thread fewer."""
WINDOW_SECONDS = 2.0
WINDOW_STEPS = 8
"""Least time and steps between decisions: one slow step is no sign of a busy machine."""
FIRST_WAIT = 20.0
LONGEST_WAIT = 640.0
"""Seconds until all threads are tried again; doubled each time that they were no faster."""


class ThreadBackOff:
    """Number of threads to compute with: all that were chosen, or one fewer while other processes keep the cores busy.

    Threads wait for each other several thousand times a step, so that one of them on a core that others use stalls all: a second
    thread beside a busy process was measured at 1% of its speed, where one thread alone lost 7%. The steps' own time tells, since
    in a container nothing else does.
    """

    def __init__(self, threads: int, now: int | None = None) -> None:
        """`threads` were chosen, `now` are in use, both at least 1."""
        self.most = threads
        self.threads = now or threads
        self._best = math.inf
        self._times: list[float] = []
        self._cpu_time = 0.0
        self._fewer_may_help = True
        self._wait = FIRST_WAIT
        self._since_fewer = 0.0
        self._fewer_took = self._all_took = math.inf

    def after(self, seconds: float, processor_seconds: float = math.inf) -> int:
        """Threads for the next step, after one of this duration and CPU time of all cores together."""
        if self.most == 1:
            return self.threads
        self._times.append(seconds)
        self._cpu_time += processor_seconds
        self._since_fewer += seconds if self.threads < self.most else 0.0
        if sum(self._times) < WINDOW_SECONDS or len(self._times) < WINDOW_STEPS:
            return self.threads
        took = sorted(self._times)[len(self._times) // 2]
        starved = self._cpu_time < STARVED * self.threads * sum(self._times)
        self._times.clear()
        self._cpu_time = 0.0
        if self.threads == self.most:
            if (starved and self._fewer_may_help and self._fewer_took == math.inf) or took > min(
                SLOW * self._best, self._fewer_took
            ):
                self._wait = FIRST_WAIT if self._fewer_took == math.inf else min(2 * self._wait, LONGEST_WAIT)
                self.threads, self._all_took = self.most - 1, took
            else:
                self._wait = FIRST_WAIT
                self._fewer_may_help &= self._fewer_took == math.inf
            self._best = min(self._best, took)
            self._fewer_took = math.inf
        elif took > self._all_took:
            self.threads, self._since_fewer, self._fewer_may_help = self.most, 0.0, False
        elif self._since_fewer >= self._wait:
            self._fewer_took, self._since_fewer, self.threads = took, 0.0, self.most
        return self.threads
