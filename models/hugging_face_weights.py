"""GPT-2 weights from and to Hugging Face's layout.

They differ in three ways: Hugging Face keeps linear weights as (in, out), stores the tied head under a second name, and
its older files carry causal masks as buffers.
"""

import re
from collections.abc import Iterable, Mapping

from torch import Tensor

PREFIX = "transformer."
HEAD = "lm_head.weight"
EMBEDDING = "wte.weight"
TRANSPOSED = (".c_attn.weight", ".c_fc.weight", ".c_proj.weight")
"""Linear weights, which Hugging Face's Conv1D holds as (in, out)."""
BUFFERS = (".attn.bias", ".attn.masked_bias")
"""Causal masks, not weights."""
WRAPPERS = re.compile(r"(?:(?:module|_orig_mod|model)\.){0,4}")
"""Prefixes of models that were saved inside DistributedDataParallel, torch.compile or a trainer's own module."""


def to_hugging_face(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Convert the state of a `models.gpt.GPT` to the form that `transformers.GPT2LMHeadModel` loads, head included."""
    converted = {PREFIX + name: turned(name, weight) for name, weight in state.items()}
    converted[HEAD] = state[EMBEDDING]
    return converted


def own_names(names: Iterable[str]) -> dict[str, str]:
    """The names in a `models.gpt.GPT` of a Hugging Face GPT-2's tensors, by their names there, without the causal masks.

    The head, where there is one, is `lm_head.weight`. The prefix `transformer.` may be there or not, and `WRAPPERS` before it.

    Raises:
        ValueError: if there is not exactly one token embedding, or a name has another prefix.
    """
    names = list(names)
    embeddings = [name for name in names if name == EMBEDDING or name.endswith(f".{EMBEDDING}")]
    if len(embeddings) != 1:
        raise ValueError(f"the model has {len(embeddings)} tensors called {EMBEDDING} where GPT-2 has one.")
    prefix = embeddings[0].removesuffix(EMBEDDING)
    outer = prefix.removesuffix(PREFIX)
    if not WRAPPERS.fullmatch(outer):
        raise ValueError(f"the model's token embedding is called {embeddings[0][:200]!r}, which is no name in a GPT-2.")
    found = {}
    for name in names:
        if name.endswith(BUFFERS):
            continue
        if name == outer + HEAD:
            found[name] = HEAD
        elif name.startswith(prefix):
            found[name] = name.removeprefix(prefix)
        else:
            raise ValueError(f"the model has a tensor called {name[:200]!r}, which no GPT-2 has.")
    return found


def hugging_face_shape(name: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape in Hugging Face's layout of a weight of a `models.gpt.GPT`."""
    return shape[::-1] if name.endswith(TRANSPOSED) else shape


def turned(name: str, weight: Tensor) -> Tensor:
    """The weight of this name in the other layout: linear weights transposed, all others as they are."""
    return weight.T.contiguous() if name.endswith(TRANSPOSED) else weight
