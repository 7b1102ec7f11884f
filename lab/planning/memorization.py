"""Memorization: the epochs and the tokens per parameter at which a model memorizes its text."""

from models.config import ModelConfig
from models.parameter_count import parameter_count

MANY_EPOCHS = 20
"""From about so many epochs on, a model without dropout memorizes its text (Muennighoff et al. 2023)."""
MANY_EPOCHS_FOR_A_LARGE_MODEL = 8
"""The same for a model with more parameters than its text has tokens. Measured with micro on tinyshakespeare, 9 epochs: 2.21 bits
per byte at the end without dropout, 2.17 with it."""
FEWEST_TOKENS_PER_PARAMETER = 0.01
"""With fewer training tokens, a model memorizes its text before it has learned much from it. The compute-optimal number is near
20 (Hoffmann et al. 2022)."""


def memorizing_epochs(model: ModelConfig, tokens: int) -> int:
    """Number of epochs over `tokens` of training text from which on the model memorizes it."""
    return MANY_EPOCHS if tokens >= parameter_count(model) else MANY_EPOCHS_FOR_A_LARGE_MODEL
