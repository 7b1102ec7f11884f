"""Devices, GPUs and processes that are asked for, and refused where the machine has none; threads of the engine."""

import subprocess
from dataclasses import replace
from types import SimpleNamespace

import pytest

from lab.core.errors import UserError
from lab.core.machine import Machine, gpu_count
from lab.planning.device import check_device, check_ranks, engine_threads, gpu_ranks
from lab.planning.resolve_run import ResolvedRun, resolve
from lab.planning.run_request import RunRequest, SettingError
from lab.planning.settings_form import make_plan
from lab.planning.settings_table import Settings, shown_settings
from lab.runs.run_schema import TrainConfig
from tests.lab.planning.planned_runs import MACHINE, TEXT

BOX = replace(MACHINE, gpu="NVIDIA H100", gpus=4)


def resolved_on(machine: Machine, **settings: object) -> ResolvedRun:
    return resolve(RunRequest(text="tale", **settings), TEXT, machine)  # type: ignore[arg-type]


@pytest.mark.parametrize(("gpus", "ranks"), [("all", 4), ("3", 3), ("1", 1)])
def test_gpus_are_ranks_on_cuda(gpus: str, ranks: int) -> None:
    run = resolved_on(BOX, gpus=gpus)
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
        resolved_on(BOX, **settings)
    assert str(refused.value) == sentence


def test_a_machine_without_gpus_refuses_them_and_trains_in_processes_on_its_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lab.planning.device.no_cuda_reason", lambda: "this machine shows no NVIDIA GPU")
    with pytest.raises(SettingError, match="no GPUs to train on: this machine shows no NVIDIA GPU; leave --gpus out, or try"):
        gpu_ranks("all", MACHINE)
    check_ranks(TrainConfig(), 2, MACHINE)
    assert resolved_on(MACHINE, ranks=2, device="cpu").train.ranks == 2


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


SAID = """Traceback (most recent call last):
  File "<string>", line 1, in <module>
torch.AcceleratorError: CUDA error: CUDA-capable device(s) is/are busy or unavailable
For debugging consider passing CUDA_LAUNCH_BLOCKING=1
Compile with `TORCH_USE_CUDA_DSA` to enable device-side assertions.
"""


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (SAID, "torch.AcceleratorError: CUDA error: CUDA-capable device(s) is/are busy or unavailable"),
        ("killed", "killed"),
        ("", "torch could not use it"),
    ],
)
def test_a_card_that_cannot_be_used_is_refused_with_torch_s_error(
    said: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lab.planning.device.no_cuda_reason", lambda: "")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: SimpleNamespace(returncode=1, stderr=said))
    with pytest.raises(UserError) as error:
        check_device("cuda")
    assert str(error.value) == f"device cuda cannot be used ({reason}); use --device cpu."


@pytest.mark.parametrize(
    ("cores", "beside_gpu", "threads"),
    [(1, False, 1), (2, False, 1), (4, True, 2), (8, False, 4), (16, False, 4), (16, True, 8), (64, True, 8)],
)
def test_the_engine_takes_half_of_the_cores_and_more_of_them_beside_a_gpu(cores: int, beside_gpu: bool, threads: int) -> None:
    assert engine_threads(cores, beside_gpu=beside_gpu) == threads
