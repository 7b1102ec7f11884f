"""Telling that memory did not suffice from other faults, and giving back what a failed attempt held."""

import gc

import torch

SAID_BY_TORCH = ("can't allocate memory", "out of memory", "std::bad_alloc", "could not create a memory object")
"""What is in the words of a RuntimeError from torch's CPU allocator, from MPS, from C++, and from oneDNN. On Linux the kernel may
also kill the process instead of refusing, which no process can catch."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that there was no memory left, main memory or a graphics card's."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in SAID_BY_TORCH)


def give_back(device: torch.device) -> None:
    """Frees what a failed attempt still holds. Call it when the exception, which keeps the attempt's tensors, is gone."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif device.type == "mps":
        torch.mps.empty_cache()
