"""The watch of the ranks where their store does not answer, and where the start is ended; the launcher's word on a rank."""

import os
import platform
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from torch._C._distributed_c10d import HashStore
from torch.distributed import DistNetworkError
from torch.distributed.elastic.multiprocessing.api import PContext, SignalException, SubprocessContext
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError, ProcessFailure

from lab.core.errors import UserError
from lab.training.distributed import launcher, rank_watch
from lab.training.distributed.launcher import RankEnvironment
from lab.training.distributed.rank_watch import EndedEarlyError, RankWatch, join_all
from lab.training.stop_signals import StopSignals

SILENCE = "The ranks' meeting place at abacus:29577 has not answered for 0 seconds, and training ended with it."


class HaltedStore(HashStore):
    """A store that answers only once it goes on."""

    def __init__(self) -> None:
        super().__init__()
        self.goes_on = threading.Event()

    def check(self, keys: list[str]) -> bool:
        self.goes_on.wait()
        return super().check(keys)


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[HaltedStore]:
    monkeypatch.setattr(rank_watch, "BEAT_SECONDS", 0.01)
    monkeypatch.setattr(rank_watch, "LOOK_SECONDS", 0.05)
    store = HaltedStore()
    yield store
    store.goes_on.set()


def watch_of(rank: int, count: int, store: HashStore, signals: StopSignals) -> RankWatch:
    return RankWatch(RankEnvironment(rank, count, rank, count, "abacus", 29577, has_store=True), store, signals)


@pytest.mark.parametrize("rank", [0, 1])
def test_a_store_that_does_not_answer_holds_nobody_up(rank: int, store: HaltedStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rank_watch, "LOST_SECONDS", 0.2)
    monkeypatch.setattr(rank_watch, "GRACE_SECONDS", 0.0)
    signals = StopSignals()
    watch = watch_of(rank, 2, store, signals)
    reasons: list[str] = []
    gave_up = threading.Event()

    def give_up(reason: str) -> None:
        reasons.append(reason)
        gave_up.set()

    watch.waits = True
    watch.start(give_up)
    with pytest.raises(UserError, match=SILENCE):
        join_all(watch, signals, 60.0, lambda missing: None)
    assert watch.lost(1.0) == SILENCE
    assert gave_up.wait(60.0), "the process waits in a collective"
    assert reasons[0] == SILENCE
    watch.end(SILENCE)


@pytest.mark.parametrize("failure", ["The data is gone.", "AcceleratorError: CUDA error: an illegal memory access"])
def test_a_failure_is_told_at_the_end(failure: str, store: HaltedStore) -> None:
    store.goes_on.set()
    signals = StopSignals()
    first, second = watch_of(0, 2, store, signals), watch_of(1, 2, store, signals)
    first.start(lambda reason: None)
    second.start(lambda reason: None)
    join_all(first, signals, 60.0, lambda missing: None)
    assert first.lost() == ""
    second.end(failure)
    assert first.lost(60.0) == f"Rank 1 on {platform.node()} failed: {failure.rstrip('.')}."
    first.end()


@pytest.mark.parametrize(("count", "who"), [(2, "rank 1"), (3, "2 ranks")])
def test_a_start_that_a_signal_ends_names_who_had_not_joined(count: int, who: str, store: HaltedStore) -> None:
    store.goes_on.set()
    signals = StopSignals()
    signals.caught = "SIGTERM"
    watch = watch_of(0, count, store, signals)
    watch.start(lambda reason: None)
    with pytest.raises(EndedEarlyError, match=f"^Ended by SIGTERM before the training began; {who} had not joined.$"):
        join_all(watch, signals, 60.0, lambda missing: None)
    watch.end()


class GoneStore(HashStore):
    """The store of a launcher that was killed."""

    def set(self, key: str, value: str) -> None:
        raise DistNetworkError("Connection refused")


@pytest.mark.parametrize("rank", [0, 1])
def test_no_rank_waits_for_others_when_the_launcher_is_gone(rank: int) -> None:
    signals = StopSignals()
    watch = watch_of(rank, 2, GoneStore(), signals)
    watch.start(lambda reason: None)
    with pytest.raises(EndedEarlyError, match=r"^Ended by the end of its launcher before the training began[.;]"):
        join_all(watch, signals, 600.0, lambda missing: None)
    watch.end()


class Ended:
    """A rank that has ended, as torchrun keeps it."""

    def __init__(self, code: int) -> None:
        self.proc = self
        self.pid, self.returncode = 12, code

    def poll(self) -> int:
        return self.returncode


@pytest.fixture
def closed(monkeypatch: pytest.MonkeyPatch) -> list[tuple[signal.Signals, int]]:
    """The signals and times with which PyTorch closes its ranks, and nothing of the launcher's that lasts."""
    closed: list[tuple[signal.Signals, int]] = []
    monkeypatch.setattr(PContext, "close", PContext.close)
    monkeypatch.setattr(SubprocessContext, "_close", lambda self, death_sig, timeout: closed.append((death_sig, timeout)))
    monkeypatch.setattr("logging.disable", lambda level: None)
    monkeypatch.setattr("os.environ", dict(os.environ))
    return closed


def ranks_that_ended(*codes: int) -> SubprocessContext:
    context = object.__new__(SubprocessContext)
    context._tail_logs, context.filtered_stdout, context.filtered_stderr = [], None, None
    context.__dict__ |= {"_stdout_tail": None, "_stderr_tail": None}  # their names in torch 2.6
    context.envs = {rank: {"RANK": str(rank)} for rank in range(len(codes))}
    context.subprocess_handlers = {rank: Ended(code) for rank, code in enumerate(codes)}
    return context


@pytest.mark.parametrize(
    ("codes", "told"),
    [((0, -9), "Rank 1 (process 12) was ended by SIGKILL.\n"), ((2, 0), "")],
    ids=["silent", "has spoken"],
)
def test_the_launcher_speaks_for_a_rank_that_could_not(
    codes: tuple[int, int], told: str, closed: list[Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(arguments: list[str]) -> None:
        ranks_that_ended(*codes).close()
        assert capsys.readouterr().err == told, "before the others end, who would speak for themselves"
        raise ChildFailedError("trainer", {1: ProcessFailure(1, 12, codes[1], "")})

    monkeypatch.setattr("torch.distributed.run.main", fail)
    assert launcher.main(["--nproc-per-node", "2", "run"]) == 1


@pytest.mark.parametrize(("codes", "code"), [((0, 0), 0), ((1, 0), 1), ((0, -9), 1)])
def test_ranks_that_a_signal_has_ended_fail_only_if_one_of_them_did(
    codes: tuple[int, int], code: int, closed: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def end(arguments: list[str]) -> None:
        ranks_that_ended(*codes).close(signal.SIGTERM, 60)
        raise SignalException("a signal", sigval=signal.SIGTERM)

    monkeypatch.setattr("torch.distributed.run.main", end)
    assert launcher.main(["--nproc-per-node", "2", "run"]) == code


def test_the_launcher_gives_the_other_ranks_time_when_one_has_failed(closed: list[tuple[signal.Signals, int]]) -> None:
    """Rank 0 may be saving. torchrun then calls `close` without a timeout."""
    launcher.watch_the_end(600)
    context = ranks_that_ended()
    context.close()
    context.close(signal.SIGINT, 5)
    assert closed == [(signal.SIGTERM, 600), (signal.SIGINT, 5)]


@pytest.mark.skipif(not Path(rank_watch.BOOT_ID).exists(), reason="machines are told apart by what Linux says")
@pytest.mark.parametrize(("boot_id", "is_dead"), [("one", True), ("other", False)], ids=["this machine", "one of the same name"])
def test_a_process_is_looked_for_on_its_own_machine_only(
    boot_id: str, is_dead: bool, store: HaltedStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.goes_on.set()
    signals = StopSignals()
    monkeypatch.setattr(rank_watch, "BOOT_ID", str(tmp_path / "boot_id"))
    (tmp_path / "boot_id").write_text("one\n")
    first = watch_of(0, 2, store, signals)
    (tmp_path / "boot_id").write_text(boot_id + "\n")
    second = watch_of(1, 2, store, signals)
    ended = subprocess.Popen(["true"])
    ended.wait()
    second._own.pid = ended.pid
    first.start(lambda reason: None)
    second.start(lambda reason: None)
    while not first.known_loss and not first.all_there():
        pass
    assert first.lost().endswith(" died, and training ended with it.") is is_dead
    first.end()
    second.end()
