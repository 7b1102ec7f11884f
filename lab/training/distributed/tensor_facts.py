"""Names, types and shapes of tensors that one rank is about to send to the others."""

import msgspec
import torch
from torch import Tensor

TYPES = {str(dtype): dtype for dtype in (torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.int32)}


class TensorFacts(msgspec.Struct, array_like=True):
    """Name, type and shape of a tensor that is about to be sent."""

    name: str
    dtype: str
    shape: tuple[int, ...]

    def empty(self, device: torch.device) -> Tensor:
        return torch.empty(self.shape, dtype=TYPES[self.dtype], device=device)


def facts_of(tensors: dict[str, Tensor]) -> list[TensorFacts]:
    return [TensorFacts(name, str(tensor.dtype), tuple(tensor.shape)) for name, tensor in tensors.items()]
