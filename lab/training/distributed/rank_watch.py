"""Watch of the ranks over each other: a heartbeat of each once a second, in the key-value store of the launcher, not on disk.

A collective of PyTorch waits for a rank that is gone, with NCCL for minutes. The watch finds it by its heartbeat, and ends this
process if it still waits. Rank 0 watches all, the others rank 0.

A store that is kept by a halted process, or behind a cut network, never answers, whatever its timeout. So one thread alone asks
it and notes when it has answered; another judges. Whatever needs an answer waits for the first for a limited time.
"""

import os
import platform
import queue
import threading
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import psutil  # type: ignore[import-untyped]
from torch.distributed.distributed_c10d import Store

from lab.core.errors import UserError
from lab.core.number_format import counted
from lab.runs.schema_parts import MOST_LISTED, RankHeartbeat
from lab.training.distributed.launcher import RankEnvironment
from lab.training.stop_signals import StopSignals

BEAT_SECONDS = 0.5
LOST_SECONDS = 60.0
"""Time without a heartbeat after which a rank counts as lost: compiling a model, or a busy machine, must not look like that."""
LOOK_SECONDS = 2.0
"""Time to wait for an answer of the store where something is to be told or known at once."""
LONGEST_HOST = 64
"""Characters of a host's name that are told."""
GRACE_SECONDS = 10.0
"""Time after that in which this process is to find it out by itself, and save."""
BOOT_ID = "/proc/sys/kernel/random/boot_id"
"""File that differs between two machines, be their names equal or not."""


class EndedEarlyError(UserError):
    """A signal asked for the end while this rank waited for the others."""


class Beat(msgspec.Struct):
    """Heartbeat of a rank."""

    host: str
    pid: int
    space: str
    """Namespace of its process number, by which others on the same machine can see whether it lives."""
    count: int = 0
    signal: str = ""
    """Name of the signal that asked it to end."""
    failure: str = ""
    """The reason why it ended; empty while it has none."""


class RankWatch:
    """Heartbeat of this rank, and what is known of the others'."""

    def __init__(self, environment: RankEnvironment, store: Store, signals: StopSignals) -> None:
        self._environment, self._store, self._signals = environment, store, signals
        self._own = Beat(platform.node()[:LONGEST_HOST], os.getpid(), _process_space())
        self._others = [rank for rank in range(environment.count) if (rank == 0) != (environment.rank == 0)]
        self.beats: dict[int, Beat] = {environment.rank: self._own}
        self.seen: dict[int, float] = {}
        """Unix time of each one's latest heartbeat."""
        self._changed: dict[int, float] = {}
        self.known_loss = ""
        """A sentence once a rank is lost."""
        self.is_cut_off = False
        """True if the store is gone, and with it the launcher that keeps it, or rank 0."""
        self.waits = False
        """True while this process waits for the others."""
        self._give_up: Callable[[str], None] = lambda sentence: None
        self._beaten: Callable[[], None] = lambda: None
        self._answered = time.monotonic()
        """Time of the store's last answer."""
        self._asking: float | None = None
        """Time since which the store is asked and has not answered."""
        self._asked = queue.SimpleQueue[threading.Event]()
        """An event for each look that is asked for, set once it has been made."""
        self._ended = threading.Event()
        self._beating = threading.Thread(target=self._beat, name="beats", daemon=True)
        self._judging = threading.Thread(target=self._judge, name="ranks", daemon=True)

    def start(self, give_up: Callable[[str], None], beaten: Callable[[], None] = lambda: None) -> None:
        """Begin. `give_up` is called with the reason if this process waits in vain, and must end it; `beaten` at each look."""
        self._give_up, self._beaten = give_up, beaten
        self._beating.start()
        self._judging.start()

    def end(self, failure: str = "") -> None:
        """Stop, and tell the others why if this rank failed."""
        self._own.failure = failure
        self._ended.set()
        self._asked.put(threading.Event())
        for thread in (self._judging, self._beating):
            thread.join(LOOK_SECONDS)

    def heartbeats(self) -> tuple[RankHeartbeat, ...]:
        """Host, process and latest heartbeat of every rank, in order, as far as they are known."""
        ranks = sorted(self.beats)[:MOST_LISTED]
        return tuple(RankHeartbeat(self.beats[rank].host, self.beats[rank].pid, round(self.seen[rank], 1)) for rank in ranks)

    def all_there(self) -> bool:
        """True once every rank that this one watches has sent a heartbeat."""
        self._await_look()
        return all(rank in self.beats for rank in self._others)

    def missing(self) -> list[int]:
        """Ranks that have not sent a heartbeat yet."""
        return [rank for rank in self._others if rank not in self.beats]

    def died_while_starting(self) -> list[int]:
        """The missing ranks of this machine that are no longer among its launcher's processes: it then ends the others."""
        launcher = psutil.Process().parent()
        living = {_rank_of(process) for process in launcher.children()} if launcher is not None else set()
        if self._environment.rank not in living:
            return []  # the launcher itself is gone
        first = self._environment.rank - self._environment.local_rank
        return [rank for rank in self.missing() if first <= rank < first + self._environment.local_count and rank not in living]

    def lost(self, seconds: float = 0.0) -> str:
        """A sentence if a rank is lost; looked for until the time is up."""
        deadline = time.monotonic() + seconds
        while not self.known_loss:
            self._await_look()
            self._find_loss()
            if time.monotonic() >= deadline:
                break
            time.sleep(0.05)
        return self.known_loss

    def _beat(self) -> None:
        """Heartbeats. A store that does not answer holds up this thread, and no other."""
        while True:
            try:
                made = self._asked.get(timeout=BEAT_SECONDS)
            except queue.Empty:
                made = threading.Event()
            ended = self._ended.is_set()
            if not ended or self._own.failure:
                self._look()
            made.set()
            if ended:
                break
            self._beaten()

    def _await_look(self) -> None:
        """Have a heartbeat sent and the others' read now, and wait for that as long as the store may take."""
        made = threading.Event()
        self._asked.put(made)
        made.wait(LOOK_SECONDS)

    def _judge(self) -> None:
        """Judge the others by their heartbeats so far, whether or not the store answers."""
        lost_at = None
        while not self._ended.wait(BEAT_SECONDS):
            self._find_loss()
            if not self.known_loss:
                continue
            lost_at = lost_at or time.monotonic()
            if self.waits and time.monotonic() - lost_at > GRACE_SECONDS:
                self._give_up(self.known_loss)

    def _find_loss(self) -> None:
        self.known_loss = self.known_loss or next(filter(None, map(self._loss_of, self._others)), "") or self._silence()

    def _look(self) -> None:
        """Send this rank's heartbeat and read the others'."""
        try:
            self._own.count += 1
            self._own.signal = self._signals.caught or ""
            self.seen[self._environment.rank] = time.time()
            self._asking = time.monotonic()
            self._store.set(f"beat/{self._environment.rank}", msgspec.json.encode(self._own).decode())
            for rank in self._others:
                self._read(rank)
            self.is_cut_off = False
        except RuntimeError:
            self.is_cut_off = True
            if self._environment.rank == 0 and self._signals.caught is None:
                self._signals.caught = "the end of its launcher"
        finally:
            self._answered, self._asking = time.monotonic(), None

    def _read(self, rank: int) -> None:
        key = f"beat/{rank}"
        if not self._store.check([key]):
            return
        beat = msgspec.json.decode(self._store.get(key), type=Beat)
        if rank not in self.beats or beat.count != self.beats[rank].count:
            self._changed[rank], self.seen[rank] = time.monotonic(), time.time()
        self.beats[rank] = beat
        if beat.signal and self._environment.rank == 0 and self._signals.caught is None:
            self._signals.caught = beat.signal

    def _loss_of(self, rank: int) -> str:
        beat = self.beats.get(rank)
        if beat is None:
            return ""
        if beat.failure:
            return f"Rank {rank} on {beat.host} failed: {beat.failure.rstrip('.')}."
        who = f"Rank {rank} (process {beat.pid} on {beat.host})"
        if (beat.host, beat.space) == (self._own.host, self._own.space) and beat.space and not _is_alive(beat.pid):
            return f"{who} died, and training ended with it."
        if self._answered - self._changed[rank] > LOST_SECONDS:
            return f"{who} has not responded for {LOST_SECONDS:.0f} seconds, and training ended with it."
        return ""

    def _silence(self) -> str:
        """A sentence if the store does not answer, so that nothing is known of the others."""
        asking = self._asking
        if asking is None or time.monotonic() - asking <= LOST_SECONDS:
            return ""
        place = f"{self._environment.address}:{self._environment.port}"
        return f"The ranks' meeting place at {place} has not answered for {LOST_SECONDS:.0f} seconds, and training ended with it."


def join_all(watch: RankWatch, signals: StopSignals, seconds: float, report: Callable[[int], None]) -> None:
    """Wait for the first heartbeat of every rank. Raises UserError if one does not come, or a signal asks for the end."""
    deadline = time.monotonic() + seconds
    while not watch.all_there():
        if watch.known_loss:
            raise UserError(watch.known_loss)
        report(len(watch.missing()))
        if signals.caught:
            if dead := watch.died_while_starting():
                raise EndedEarlyError(f"{_name_ranks(dead).capitalize()} died while starting, and training ended with it.")
            raise EndedEarlyError(
                f"Ended by {signals.caught} before the training began; {_name_ranks(watch.missing())} had not joined."
            )
        if watch.is_cut_off:
            raise EndedEarlyError("Ended by the end of its launcher before the training began.")
        if time.monotonic() > deadline:
            raise UserError(f"{_name_ranks(watch.missing())} did not start within {seconds:.0f} seconds.".capitalize())
        time.sleep(0.05)


def _name_ranks(ranks: list[int]) -> str:
    return f"rank {ranks[0]}" if len(ranks) == 1 else counted(len(ranks), "rank")


def _rank_of(process: psutil.Process) -> int | None:
    """The rank of a process as its launcher has told it; None of one that has ended or is no rank."""
    try:
        return int(process.environ()["RANK"])
    except (psutil.Error, KeyError):
        return None


def _is_alive(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
    except psutil.Error:
        return True


def _process_space() -> str:
    """Name of this machine's start and of this process's namespace of process numbers; empty where the system has none."""
    try:
        return f"{Path(BOOT_ID).read_text().strip()} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return ""
