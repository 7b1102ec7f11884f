"""The environment of a rank: torchrun's variables, and signals that come twice."""

import os
import signal

import pytest
import torch

from lab.core.errors import UserError
from lab.training.distributed.launcher import RankEnvironment, read_rank_environment
from lab.training.distributed.one_rank import OneRank
from lab.training.stop_signals import TWICE_SECONDS, StopSignals
from lab.training.trainer import refuse

VARIABLES = {"RANK": "5", "WORLD_SIZE": "16", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "4", "MASTER_ADDR": "abacus"}


@pytest.fixture
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*VARIABLES, "MASTER_PORT", "TORCHELASTIC_USE_AGENT_STORE"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.usefixtures("_no_variables")
def test_a_rank_is_what_torchrun_says(monkeypatch: pytest.MonkeyPatch) -> None:
    assert read_rank_environment() is None, "one process"
    for name, value in (VARIABLES | {"MASTER_PORT": "29577", "TORCHELASTIC_USE_AGENT_STORE": "True"}).items():
        monkeypatch.setenv(name, value)
    found = read_rank_environment()
    assert found is not None
    assert (found.rank, found.count, found.local_rank, found.local_count) == (5, 16, 1, 4)
    assert (found.address, found.port, found.has_store) == ("abacus", 29577, True)
    monkeypatch.setenv("WORLD_SIZE", "1")
    assert read_rank_environment() is None, "torchrun --nproc-per-node 1 is one process, too"


@pytest.mark.usefixtures("_no_variables")
@pytest.mark.parametrize(
    ("name", "value"), [("RANK", "16"), ("RANK", "-1"), ("RANK", "٥"), ("WORLD_SIZE", "many"), ("MASTER_PORT", "0")]
)
def test_variables_that_make_no_sense_are_told(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    for each, usual in (VARIABLES | {name: value}).items():
        monkeypatch.setenv(each, usual)
    with pytest.raises(UserError, match=f"The environment variable {name} must be a number from "):
        read_rank_environment()


def test_a_signal_that_comes_to_a_rank_twice_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second one after a while ends the process at once, as it does with one process."""
    ended: list[tuple[int, int]] = []
    before = signal.getsignal(signal.SIGTERM)
    signals = StopSignals(may_come_twice=True)
    try:
        signals.install()
        os.kill(os.getpid(), signal.SIGTERM)
        assert signals.caught == "SIGTERM"
        os.kill(os.getpid(), signal.SIGTERM)
        assert signal.getsignal(signal.SIGTERM) == signals._note
        with monkeypatch.context() as later:
            first = signals._first[signal.SIGTERM]
            later.setattr("lab.training.stop_signals.time.monotonic", lambda: first + TWICE_SECONDS + 1)
            later.setattr("lab.training.stop_signals.os.kill", lambda pid, number: ended.append((pid, number)))
            signals._note(signal.SIGTERM, None)
        assert ended == [(os.getpid(), signal.SIGTERM)]
        assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    finally:
        signal.signal(signal.SIGTERM, before)


@pytest.mark.parametrize(
    ("local_rank", "caught", "told"),
    [(0, None, "There is no run.\n"), (1, "SIGTERM", ""), (1, None, "There is no run.\n")],
    ids=["the first of a machine", "ended by torchrun, as rank 0 has said it", "not ended"],
)
def test_a_refusal_is_told_once(
    local_rank: int, caught: str | None, told: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("lab.training.trainer.REFUSE_SECONDS", 0.01)
    signals = StopSignals()
    signals.caught = caught
    environment = RankEnvironment(local_rank, 2, local_rank, 2, "127.0.0.1", 29500, has_store=False)
    assert refuse("There is no run.", environment, signals) == 2
    assert capsys.readouterr().err == told


@pytest.mark.parametrize(("setting", "chosen"), [("cuda:1", [torch.device("cuda:1")]), ("cpu", [])])
def test_one_rank_makes_its_card_the_current_one(
    setting: str, chosen: list[torch.device], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its dropout is drawn by the generator of the current card, which is the one that is seeded."""
    made_current: list[torch.device] = []
    monkeypatch.setattr("lab.training.distributed.one_rank.choose_device", torch.device)
    monkeypatch.setattr("torch.cuda.set_device", made_current.append)
    assert OneRank().device(setting) == torch.device(setting)
    assert made_current == chosen
