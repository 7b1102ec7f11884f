"""Whether a run can be trained on the device that is asked for, found out before anything is written."""

import re
import subprocess
import sys

from lab.errors import UserError
from lab.machine import has_mps, why_no_cuda

TRY_SECONDS = 120
"""Importing torch and waking a GPU may take long on a busy machine; a driver that hangs takes for ever."""


def check_device(device: str) -> None:
    """Does nothing if `device` is "auto", "cpu", or one that torch can use here, which a process of its own tries out.

    Raises:
        UserError: otherwise, with the reason.
    """
    if device in ("auto", "cpu"):
        return
    if not re.fullmatch(r"cuda(:\d+)?|mps", device):
        raise UserError(f"There is no device called {device!r}; choose auto, cpu, cuda or mps.")
    if device == "mps" and not has_mps():
        raise UserError("device mps needs a Mac with Apple's own processor; use --device cpu.")
    if device.startswith("cuda") and (why := why_no_cuda()):
        raise UserError(f"device {device} cannot be used: {why}; use --device cpu.")
    program = f"import torch; torch.zeros(1, device={device!r}) + 1"
    try:
        tried = subprocess.run(
            [sys.executable, "-P", "-c", program], capture_output=True, text=True, timeout=TRY_SECONDS, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise UserError(f"device {device} did not answer for {TRY_SECONDS} seconds; use --device cpu.") from error
    if tried.returncode:
        said = (tried.stderr.strip().splitlines() or ["torch could not use it"])[-1]
        raise UserError(f"device {device} cannot be used ({said}); use --device cpu.")
