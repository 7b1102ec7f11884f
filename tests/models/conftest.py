"""Models with random weights, and their twins in Hugging Face's transformers, which is the independent source here."""

import os
from collections.abc import Callable
from typing import TYPE_CHECKING

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import pytest
import torch

from models.config import ModelConfig
from models.gpt import GPT
from models.hugging_face_weights import to_hugging_face

if TYPE_CHECKING:
    from transformers import GPT2LMHeadModel

MakeModel = Callable[..., GPT]
MakeTwin = Callable[[GPT], "GPT2LMHeadModel"]


def random_ids(model: GPT, batch: int, tokens: int, seed: int = 0) -> torch.Tensor:
    return torch.randint(model.config.vocab_size, (batch, tokens), generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="session")
def make_model() -> MakeModel:
    """A model of a given shape whose every weight is random, biases and norms too, so that nothing is tested at zero or one."""

    def make(seed: int = 0, layers: int = 2, heads: int = 2, width: int = 8, context: int = 16, vocab_size: int = 23) -> GPT:
        config = ModelConfig(layers=layers, heads=heads, width=width, context=context, vocab_size=vocab_size)
        model = GPT(config, seed)
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for weight in model.parameters():
                weight += 0.15 * torch.empty(weight.shape).normal_(generator=generator)
        return model

    return make


@pytest.fixture(scope="session")
def make_twin() -> MakeTwin:
    """Hugging Face's model with the same weights, without dropout, its attention written out."""

    from transformers import GPT2Config, GPT2LMHeadModel  # here: it takes two seconds, which collecting need not

    def make(model: GPT) -> GPT2LMHeadModel:
        shape = model.config
        twin = GPT2LMHeadModel(
            GPT2Config(
                vocab_size=shape.vocab_size,
                n_positions=shape.context,
                n_embd=shape.width,
                n_layer=shape.layers,
                n_head=shape.heads,
                resid_pdrop=0.0,
                embd_pdrop=0.0,
                attn_pdrop=0.0,
                bos_token_id=0,
                eos_token_id=0,
                attn_implementation="eager",
            )
        )
        twin.load_state_dict(to_hugging_face(model.state_dict()))
        return twin.eval()

    return make
