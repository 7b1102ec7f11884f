"""Recognise an out-of-memory error, and free what a failed attempt held."""

import gc

import torch

OUT_OF_MEMORY_MESSAGES = (
    "can't allocate memory",  # torch's CPU allocator
    "out of memory",  # CUDA and MPS
    "Invalid buffer size",  # MPS, for one tensor that is too large
    "std::bad_alloc",
    "could not create a memory object",  # oneDNN
    "cublasCreate",  # cuBLAS on a card that is nearly full: CUBLAS_STATUS_ALLOC_FAILED or CUBLAS_STATUS_NOT_INITIALIZED
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
)
"""Parts of the message of such a RuntimeError. On Linux the kernel may also kill the process, which no process can catch."""


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
