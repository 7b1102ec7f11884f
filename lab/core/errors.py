"""Errors: those that are shown to the user as one sentence, without a traceback, and those that say that memory ran out."""

import gc
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


class UserError(Exception):
    """A request that cannot be carried out. The message is one sentence: the thing, what is wrong, what to do."""


class DamagedFileError(UserError):
    """A file that cannot be used as it is, with the reason: `is a named pipe, not a regular file`."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path} {reason}.")
        self.path = path
        self.reason = reason


def name_error(error: BaseException) -> str:
    """Type of an unexpected error, and the first line of its message: `KeyError: 'a'`. Those of CUDA have several lines.

    A line that ends in a colon has the next one after it.
    """
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    words = " ".join(lines[:2] if lines and lines[0].endswith(":") else lines[:1]).rstrip(" .:")
    return f"{type(error).__name__}: {words}" if words else type(error).__name__


OUT_OF_MEMORY_MESSAGES = (
    "can't allocate memory",  # torch's CPU allocator
    "out of memory",  # CUDA and MPS
    "Invalid buffer size",  # MPS, for one tensor that is too large
    "std::bad_alloc",
    "could not create a memory object",  # oneDNN
    "could not create a primitive",  # oneDNN
    "cublasCreate",  # cuBLAS on a card that is nearly full: CUBLAS_STATUS_ALLOC_FAILED or CUBLAS_STATUS_NOT_INITIALIZED
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
)
"""Parts of the message of such a RuntimeError. On Linux the kernel may also kill the process, which no process can catch."""


def is_out_of_memory(error: BaseException) -> bool:
    """True if the error says that main memory or GPU memory ran out. Needs no torch, whose own error is a RuntimeError, too."""
    is_said = isinstance(error, RuntimeError) and any(words in str(error) for words in OUT_OF_MEMORY_MESSAGES)
    return is_said or isinstance(error, MemoryError)


def free_memory(device: "torch.device") -> None:
    """Free what a failed attempt still holds. Call it when the exception, which keeps the attempt's tensors, is gone."""
    import torch

    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif device.type == "mps":
        torch.mps.empty_cache()
