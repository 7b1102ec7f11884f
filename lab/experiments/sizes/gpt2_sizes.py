"""GPT-2's four sizes, built without values on torch's meta device, and parameters counted from the tensors of a model.

The shapes are those of the weights that OpenAI released (https://github.com/openai/gpt-2, `hparams.json` of each size); the
layers and widths are in table 2 of Radford et al. 2019, whose own parameter counts are smaller than the released ones.
"""

from functools import cache

import torch

from models.config import ModelConfig
from models.gpt import GPT
from models.tokenizers.tokenizer_kinds import FIXED_VOCABULARY_SIZES

SHAPES = {"GPT-2": (12, 12, 768), "medium": (24, 16, 1024), "large": (36, 20, 1280), "XL": (48, 25, 1600)}
"""Layers, heads and width by the size's name, the smallest first."""
CONTEXT = 1024

PARTS = {"wte": "token embedding", "wpe": "position embedding", "attn": "attention", "mlp": "MLP"}
OTHERS = "LayerNorms"


def config_of(size: str) -> ModelConfig:
    layers, heads, width = SHAPES[size]
    return ModelConfig(layers=layers, heads=heads, width=width, context=CONTEXT, vocab_size=FIXED_VOCABULARY_SIZES["gpt2"])


@cache
def on_meta(size: str) -> GPT:
    """The model of a size with all its tensors' shapes and none of their values."""
    with torch.device("meta"):
        return GPT(config_of(size), seed=None)


def count_parameters(model: GPT) -> int:
    """Number of parameters; a tensor that is used in two places counts once."""
    return sum(weight.numel() for weight in model.parameters())


def count_parts(model: GPT) -> dict[str, int]:
    """Number of parameters of each part, in the order of the computation; they add up to `count_parameters`."""
    counts = dict.fromkeys([*PARTS.values(), OTHERS], 0)
    for name, weight in model.named_parameters():
        counts[part_of(name)] += weight.numel()
    return counts


def part_of(name: str) -> str:
    """The part that a tensor of the model belongs to, by its name."""
    return next((label for key, label in PARTS.items() if key in name.split(".")), OTHERS)
