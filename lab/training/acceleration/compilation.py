"""Compilation of a training step's parts by `torch.compile`, and the way back where it fails."""

import torch

from lab.planning.gpu_card import describe_card, emulates
from lab.training.trainer_state import TrainerState
from models.gpt import GPT, Parts

BACKEND = "inductor"
"""torch's own code generator: Triton on a GPU, C++ on a CPU."""
LONGEST_REASON = 300
"""Characters of torch's reason for a failed compilation that are repeated."""


def compile_parts(model: GPT) -> None:
    """Compile a block and the loss of a chunk when they are first called, once for each size of a micro-batch.

    The code of one block serves every layer, so that compiling takes as long for 12 layers as for one (torch's "regional
    compilation"). The model's weights keep their names.
    """
    block, chunk_loss = model.training_parts
    model.compiled_parts = Parts(
        torch.compile(block, dynamic=False, backend=BACKEND), torch.compile(chunk_loss, dynamic=False, backend=BACKEND)
    )


def is_compiled(state: TrainerState, setting: str, device: torch.device) -> bool:
    """True if a run's steps are compiled here.

    They are not where a CPU resumes a run of a GPU, unless it was asked for, nor on a card that emulates the run's precision.
    """
    if state.compiled is not True:
        return False
    return not emulates(describe_card(device), state.precision) if device.type == "cuda" else setting == "on"


def fall_back(model: GPT, state: TrainerState, error: Exception, *, is_compiling: bool = False) -> str:
    """Compute without compiled code from now on, after this error, and return a sentence; empty if there is none to leave.

    `is_compiling` if the error came before there was any.
    """
    if model.compiled_parts is None and not is_compiling:
        return ""
    model.compiled_parts = None
    state.set_compiled(False)
    reason = (str(error).strip().splitlines() or [""])[0][:LONGEST_REASON].rstrip(" .:")
    masks = " and the dropout masks" if model.config.dropout else ""
    return (
        f"torch.compile failed ({type(error).__name__}{': ' * bool(reason)}{reason}), so that steps are computed without it; "
        f"the results are the same but for rounding{masks}."
    )
