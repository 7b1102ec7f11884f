"""Memory that training needs, and the refusal of a model that this machine has no room for."""

from lab.core.errors import UserError
from lab.core.machine import gpu, memory
from lab.core.number_format import bytes_
from models.config import ModelConfig
from models.parameter_count import BYTES, parameter_count, training_bytes

TRAINED_COPIES = 3
"""Numbers kept for each weight while it is trained, at the least: itself, its gradient, and Muon's momentum (AdamW keeps two)."""
ROLLBACK_COPIES = 3
"""Numbers kept for each weight to roll back to: itself and the optimizer's two."""


def training_memory(model: ModelConfig, micro_batch: int) -> int:
    """Bytes of a step on so many windows at once, and of the good state that is kept to roll back to."""
    return training_bytes(model, micro_batch) + ROLLBACK_COPIES * BYTES * parameter_count(model)


def check_memory(model: ModelConfig, device: str = "cpu") -> None:
    """Refuse a model that the machine has no room for while it is trained, whatever the batch is.

    That is its weights, their gradients and the optimizer's state; where a GPU can be used, only the weights pass through here.

    Raises:
        UserError: with both sizes.
    """
    on_gpu = device.startswith(("cuda", "mps")) or (device == "auto" and gpu() is not None)
    needed = parameter_count(model) * BYTES * (1 if on_gpu else TRAINED_COPIES)
    if needed > memory():
        raise UserError(
            f"A model of {model.layers} layers and width {model.width:,} needs at least {bytes_(needed)} of memory to be trained "
            f"and this machine has {bytes_(memory())}; choose fewer layers, a smaller width, context or vocabulary."
        )
