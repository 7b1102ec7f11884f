"""Autocast to a run's precision: matrix products in bf16 or fp16, everything else in fp32."""

from contextlib import AbstractContextManager, nullcontext

import torch

from models.config import Precision

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def autocast(precision: Precision, device_type: str) -> AbstractContextManager[None]:
    """Context of a forward pass in this precision."""
    return nullcontext() if precision == "fp32" else torch.autocast(device_type, DTYPES[precision])
