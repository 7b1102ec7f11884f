"""GPT-2 weights from and to Hugging Face's layout.

They differ in three ways: Hugging Face keeps linear weights as (in, out), stores the tied head under a second name, and
its older files carry causal masks as buffers.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

PREFIX = "transformer."
HEAD = "lm_head.weight"
TRANSPOSED = (".c_attn.weight", ".c_fc.weight", ".c_proj.weight")
"""Linear weights, which Hugging Face's Conv1D holds as (in, out)."""
BUFFERS = (".attn.bias", ".attn.masked_bias")
"""Causal masks, not weights."""


def to_hugging_face(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Convert the state of a `models.gpt.GPT` to the form that `transformers.GPT2LMHeadModel` loads, head included."""
    converted = {PREFIX + name: _turned(name, weight) for name, weight in state.items()}
    converted[HEAD] = state["wte.weight"]
    return converted


def from_hugging_face(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Convert the state of a Hugging Face GPT-2, with or without the `transformer.` prefix, to that of a `models.gpt.GPT`.

    Raises:
        ValueError: if the head is not the token embedding, as in a model that was trained with the two untied.
    """
    own = {name.removeprefix(PREFIX): weight for name, weight in state.items() if name != HEAD and not name.endswith(BUFFERS)}
    if HEAD in state and not torch.equal(state[HEAD], own["wte.weight"]):
        raise ValueError("the model's output head is not its token embedding, so it is no GPT-2.")
    return {name: _turned(name, weight) for name, weight in own.items()}


def _turned(name: str, weight: Tensor) -> Tensor:
    return weight.T.contiguous() if name.endswith(TRANSPOSED) else weight
