"""Recognise an out-of-memory error, and free what a failed attempt held."""

import gc

import torch

OUT_OF_MEMORY_MESSAGES = ("can't allocate memory", "out of memory", "std::bad_alloc", "could not create a memory object")
"""Parts of the message of a RuntimeError from torch's CPU allocator, from MPS, from C++, and from oneDNN. On Linux the kernel may
also kill the process instead of refusing, which no process can catch."""


def is_out_of_memory(error: BaseException) -> bool:
    """True if the error says that main memory or GPU memory ran out."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in OUT_OF_MEMORY_MESSAGES)


def free_memory(device: torch.device) -> None:
    """Free what a failed attempt still holds. Call it when the exception, which keeps the attempt's tensors, is gone."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif device.type == "mps":
        torch.mps.empty_cache()
