"""GPUs and processes that a run asks for, on machines that have them and that have not."""

from dataclasses import replace

import pytest

from lab.core.machine import Machine, gpu_count
from lab.planning.device import check_ranks, gpu_ranks
from lab.planning.resolve_run import ResolvedRun, resolve
from lab.planning.run_request import RunRequest, SettingError
from lab.planning.settings_form import make_plan
from lab.planning.settings_table import Settings, shown_settings
from lab.runs.run_schema import TrainConfig
from tests.lab.planning.planned_runs import MACHINE, TEXT

BOX = replace(MACHINE, gpu="NVIDIA H100", gpus=4)


def asked(machine: Machine, **settings: object) -> ResolvedRun:
    return resolve(RunRequest(text="tale", **settings), TEXT, machine)  # type: ignore[arg-type]


@pytest.mark.parametrize(("gpus", "ranks"), [("all", 4), ("3", 3), ("1", 1)])
def test_gpus_are_ranks_on_cuda(gpus: str, ranks: int) -> None:
    run = asked(BOX, gpus=gpus)
    assert (run.train.ranks, run.train.device) == (ranks, "cuda")
    assert run.request.gpus is None, "a later resolve does not count this machine's again"


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"gpus": "5"}, "This machine has 4 GPUs that CUDA can use, not 5."),
        ({"gpus": "0"}, "GPUs must be a number of at least 1, or all, not 0."),
        ({"gpus": "two"}, "GPUs must be a number of at least 1, or all, not two."),
        ({"gpus": "2", "device": "cpu"}, "GPUs are asked for, and the device cpu; leave one of them out."),
        ({"ranks": 5}, "This machine has 4 GPUs that CUDA can use, and 5 processes need one each."),
        ({"ranks": 2, "device": "mps"}, "Several processes can train on CUDA or on the CPU, not on mps."),
        ({"ranks": 3, "batch": 2, "device": "cpu"}, "A batch of 2 windows cannot be shared among 3 processes."),
    ],
)
def test_what_cannot_be_is_refused_in_one_sentence(settings: dict[str, object], sentence: str) -> None:
    with pytest.raises(SettingError) as refused:
        asked(BOX, **settings)
    assert str(refused.value) == sentence


def test_a_machine_without_gpus_refuses_them_and_trains_in_processes_on_its_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lab.planning.device.no_cuda_reason", lambda: "this machine shows no NVIDIA GPU")
    with pytest.raises(SettingError, match="no GPUs to train on: this machine shows no NVIDIA GPU; leave --gpus out, or try"):
        gpu_ranks("all", MACHINE)
    check_ranks(TrainConfig(), 2, MACHINE)
    assert asked(MACHINE, ranks=2, device="cpu").train.ranks == 2


def test_the_form_shows_gpus_where_there_are_several() -> None:
    assert not {setting.name for setting in shown_settings(1)} & {"gpus"}
    assert "gpus" in {setting.name for setting in shown_settings(2)}
    plan = make_plan(Settings(gpus="2"), TEXT, BOX)
    assert plan.run is not None
    assert plan.run.train.ranks == 2
    assert make_plan(Settings(gpus="8"), TEXT, BOX).problems == {"gpus": "This machine has 4 GPUs that CUDA can use, not 8."}


@pytest.mark.parametrize(
    ("visible", "count"),
    [(None, 3), ("0,2", 2), ("1", 1), ("0,1,-1,2", 2), ("", 0), ("-1", 0), ("-1,0", 0), ("GPU-1a,GPU-9c-1", 2)],
)
def test_the_gpus_are_those_that_cuda_shows(monkeypatch: pytest.MonkeyPatch, visible: str | None, count: int) -> None:
    monkeypatch.setattr("lab.core.machine.nvidia_gpus", lambda: ["NVIDIA H100"] * 3)
    monkeypatch.setattr("lab.core.machine.torch_has_cuda", lambda: True)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert gpu_count() == count
