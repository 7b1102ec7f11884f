import subprocess
from dataclasses import replace
from types import SimpleNamespace

import pytest
from msgspec import structs

from lab.core.errors import UserError
from lab.core.machine import Machine, gpu_count
from lab.planning.device import (
    Card,
    card_precision,
    check_device,
    check_ranks,
    choose_compile,
    engine_threads,
    gpu_ranks,
    peak_flops,
    planned_seconds,
    utilization,
)
from lab.planning.resolve_run import ResolvedRun, resolve
from lab.planning.settings_table import RunRequest, SettingError, shown_settings
from lab.runs.run_schema import TrainConfig
from models.config import PRESETS
from tests.lab.planning.planned_runs import MACHINE, TEXT

BOX = replace(MACHINE, gpu="NVIDIA H100", gpus=4)


def resolved_on(machine: Machine, **settings: object) -> ResolvedRun:
    return resolve(RunRequest(text="tale", **settings), TEXT, machine)  # type: ignore[arg-type]


@pytest.mark.parametrize(("gpus", "ranks"), [("all", 4), ("3", 3), ("1", 1)])
def test_gpus_are_ranks_on_cuda(gpus: str, ranks: int) -> None:
    run = resolved_on(BOX, gpus=gpus)
    assert (run.train.ranks, run.train.device) == (ranks, "cuda")
    assert run.request.gpus is None, "a later resolve does not count this machine's again"
    assert [{"gpus"} & {setting.name for setting in shown_settings(count)} for count in (1, 2)] == [set(), {"gpus"}]


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


A100 = Card("NVIDIA A100-SXM4-40GB", (8, 0), 40 << 30)
T4 = Card("Tesla T4", (7, 5), 15 << 30)
P4 = Card("Tesla P4", (6, 1), 8 << 30)
GPT2 = PRESETS["gpt2"].config(50257)


@pytest.mark.parametrize(
    ("card", "asked", "said"),
    [
        (A100, "auto", "bf16, for the tensor cores of NVIDIA A100-SXM4-40GB"),
        (T4, "auto", "fp16 with a scaled loss, for the tensor cores of Tesla T4, which have no bf16 (compute capability 7.5)"),
        (P4, "auto", "fp32, since Tesla P4 has no tensor cores (compute capability 6.1)"),
        (A100, "fp16", "fp16 with a scaled loss, as asked"),
        (A100, "fp32", "fp32, as asked"),
        (T4, "bf16", "bf16, as asked, though Tesla T4 only emulates it (compute capability 7.5)"),
    ],
)
def test_the_precision_of_a_card_has_a_reason(card: Card, asked: str, said: str) -> None:
    precision, reason = card_precision(card, asked)
    assert reason == said
    assert reason.startswith(precision)


@pytest.mark.parametrize(
    ("name", "peak"),
    [
        ("NVIDIA H100 80GB HBM3", 989e12),
        ("NVIDIA H100 PCIe", 756e12),
        ("NVIDIA A100 80GB PCIe", 312e12),
        ("NVIDIA A100-SXM4-40GB", 312e12),
        ("Tesla T4", 65e12),
        ("NVIDIA GeForce RTX 5090", 209.5e12),
        ("NVIDIA H100 80GB HBM3 MIG 1g.10gb", None),
        ("NVIDIA H200 MIG 1g.18gb", None),
        ("NVIDIA A100-SXM4-40GB MIG 1g.5gb", None),
        ("NVIDIA A10G", None),
        ("NVIDIA GeForce RTX 4090 Laptop GPU", None),
        ("a card from next year", None),
    ],
)
def test_the_peak_is_that_of_a_whole_card_that_is_known(name: str, peak: float | None) -> None:
    assert peak_flops(name, "bf16") == peak
    assert peak_flops(name, "fp32") is None


def test_utilization_is_flops_over_the_peak() -> None:
    assert utilization(1000.0, 6e8, 1.2e12) == pytest.approx(0.5)
    assert utilization(1000.0, 6e8, None) is None


def test_a_long_run_on_cuda_is_compiled_and_a_short_one_says_why_not() -> None:
    assert choose_compile("auto", "cuda", 3600.0) == (True, "")
    assert choose_compile("auto", "cuda", 60.0) == (False, "not compiled, since a run of less than 5 minutes does not repay it")
    assert choose_compile("auto", "cpu", 36000.0) == (False, "")
    assert choose_compile("on", "cpu", 1.0) == (True, "")
    assert choose_compile("off", "cuda", 36000.0) == (False, "")


def test_the_planned_duration_is_that_asked_for_or_the_steps_at_the_usual_speed_and_no_less_than_its_kernels_take() -> None:
    assert planned_seconds(GPT2, TrainConfig(steps=None, minutes=7.0), A100.name) == 420.0
    train = TrainConfig(steps=1000, batch=12)
    flops = 1000 * 12 * 1024 * 6 * 124e6  # about: attention comes on top
    assert planned_seconds(GPT2, train, A100.name) == pytest.approx(flops / (0.3 * 312e12), rel=0.2)
    assert planned_seconds(GPT2, train, A100.name, cards=8) == pytest.approx(planned_seconds(GPT2, train, A100.name) / 8)
    assert planned_seconds(GPT2, TrainConfig(steps=None, minutes=7.0), A100.name, cards=8) == 420.0
    assert planned_seconds(GPT2, train, "unknown") > planned_seconds(GPT2, train, A100.name)
    micro = PRESETS["micro"].config(1024)
    steps = TrainConfig(steps=100_000, batch=4)
    assert planned_seconds(micro, steps, A100.name) == pytest.approx(100_000 * 400 * 1e-5)
    assert planned_seconds(micro, structs.replace(steps, accumulate=4), A100.name) == pytest.approx(1600.0)
