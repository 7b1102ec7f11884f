"""The use of a described card, and its words."""

import msgspec
import pytest

from lab.runs.gpu_and_ranks import GpuUse, gpu_in_words
from lab.runs.run_schema import Status
from lab.training.acceleration.gpu_meter import SECONDS, GpuMeter, Reading, meter_of
from models.config import PRESETS
from models.parameter_count import flops_per_token
from screens.train.run_header import computed_in_words

GPT2 = PRESETS["gpt2"].config(50257)
CARD = "NVIDIA A100-SXM4-40GB"


def test_it_is_measured_at_a_modest_pace() -> None:
    times = iter([0.0, 0.5, SECONDS, SECONDS + 0.1])
    reads = iter([Reading(10, 40, None), Reading(20, 40, 0.97)])
    meter = GpuMeter(CARD, GPT2, "bf16", lambda: next(reads), lambda: next(times))
    speed = 0.4 * 312e12 / flops_per_token(GPT2)
    assert meter.measure(speed) == GpuUse(memory=10, total=40, mfu=0.4)
    assert meter.measure(speed) is None
    assert meter.measure(speed / 2) == GpuUse(memory=20, total=40, busy=0.97, mfu=0.2)
    assert meter.measure(speed) is None


def test_without_a_known_peak_there_is_no_mfu_and_without_a_gpu_nothing() -> None:
    assert GpuMeter("another", GPT2, "bf16", lambda: Reading(1, 2, None)).measure(1e5) == GpuUse(memory=1, total=2)
    import torch

    assert meter_of(torch.device("cpu"), GPT2, "fp32").measure(1e5) is None


def test_it_is_told_in_one_line() -> None:
    use = GpuUse(memory=34_100_000_000, total=80_000_000_000, busy=0.97, mfu=0.412)
    assert gpu_in_words(use) == "GPU memory 34.1 GB of 80.0 GB, busy 97%, MFU 41%"
    assert gpu_in_words(GpuUse(memory=1000, total=2000)) == "GPU memory 1.0 kB of 2.0 kB"
    status = Status(phase="training", computed="bf16, for the tensor cores of it", gpu=use)
    assert computed_in_words(status) == f"Steps run in bf16, for the tensor cores of it. {gpu_in_words(use)}."
    assert msgspec.json.decode(msgspec.json.encode(status), type=Status) == status


SPOILED = ['{"memory":-1,"total":2}', '{"memory":1,"total":2,"mfu":1e9}', '{"memory":1,"total":2,"busy":-1}']


@pytest.mark.parametrize("spoiled", SPOILED)
def test_what_a_folder_says_is_bounded(spoiled: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(f'{{"phase":"training","gpu":{spoiled}}}', type=Status)
