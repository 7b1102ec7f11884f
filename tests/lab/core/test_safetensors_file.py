from pathlib import Path

import pytest
import torch

from lab.core.safetensors_file import RawTensor, is_whole, read_metadata

KINDS = {"F32": torch.float32, "BF16": torch.bfloat16, "F16": torch.float16}


@pytest.mark.parametrize("dtype", KINDS)
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 0.0, -1.5, 6e4, 1e-7])
def test_numbers_that_are_not_finite_are_found_by_their_bits(dtype: str, value: float) -> None:
    numbers = torch.ones(1000, dtype=KINDS[dtype])
    numbers[700] = value
    data = memoryview(numbers.view(torch.uint8).numpy())
    assert RawTensor(dtype, (1000,), data).is_finite is bool(numbers.isfinite().all())
    assert RawTensor("I64", (125,), data).is_finite, "no number format with either"


def test_a_file_of_another_kind_is_not_taken_for_weights(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    for raw in (b"", b"\xff" * 8, b"\xff" * 100, (10).to_bytes(8, "little") + b"[1,2,3,4] ", (2).to_bytes(8, "little") + b"{}x"):
        path.write_bytes(raw)
        assert read_metadata(path) is None
        assert not is_whole(path)
    assert not is_whole(tmp_path / "nothing")
