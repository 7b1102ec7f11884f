"""Devices that are asked for: tried in another process, and refused in torch's own words."""

import subprocess
from types import SimpleNamespace

import pytest

from lab.core.errors import UserError
from lab.planning.device import check_device

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
