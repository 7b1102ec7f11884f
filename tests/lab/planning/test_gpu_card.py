"""Choices for described cards: precision, utilization, compilation."""

import pytest
from msgspec.structs import replace

from lab.planning.gpu_card import Card, card_precision, choose_compile, peak_flops, planned_seconds, utilization
from lab.runs.run_schema import TrainConfig
from models.config import PRESETS

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


def test_the_planned_duration_is_the_minutes_or_the_steps_at_the_usual_speed() -> None:
    assert planned_seconds(GPT2, TrainConfig(steps=None, minutes=7.0), A100.name) == 420.0
    train = TrainConfig(steps=1000, batch=12)
    flops = 1000 * 12 * 1024 * 6 * 124e6  # about: attention comes on top
    assert planned_seconds(GPT2, train, A100.name) == pytest.approx(flops / (0.3 * 312e12), rel=0.2)
    assert planned_seconds(GPT2, train, A100.name, cards=8) == pytest.approx(planned_seconds(GPT2, train, A100.name) / 8)
    assert planned_seconds(GPT2, TrainConfig(steps=None, minutes=7.0), A100.name, cards=8) == 420.0
    assert planned_seconds(GPT2, train, "unknown") > planned_seconds(GPT2, train, A100.name)


def test_a_step_of_a_small_model_takes_as_long_as_its_kernels_take_to_start() -> None:
    micro = PRESETS["micro"].config(1024)
    steps = TrainConfig(steps=100_000, batch=4)
    assert planned_seconds(micro, steps, A100.name) == pytest.approx(100_000 * 400 * 1e-5)
    assert planned_seconds(micro, replace(steps, accumulate=4), A100.name) == pytest.approx(1600.0)
