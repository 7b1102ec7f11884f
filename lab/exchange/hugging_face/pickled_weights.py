"""pytorch_model.bin: weights in a pickle, read by torch's loader for weights alone, and only where the user asks for it.

A pickle can execute code. torch's loader for weights alone refuses everything but tensors; up to 2.5 and again up to 2.9 it could
be circumvented (CVE-2025-32434, CVE-2026-24747), so that with an older torch nothing is read, and never with another loader.
"""

import re
from typing import TYPE_CHECKING

from lab.core.errors import UserError
from lab.core.safe_open import open_regular
from lab.core.visible_text import shortened, visible
from lab.exchange.hugging_face.model_folder import ModelFolder
from lab.exchange.hugging_face.weights_files import PICKLE, StoredTensor, check_tensors, to_own_state
from models.config import ModelConfig
from models.parameter_count import BYTES, parameter_count

if TYPE_CHECKING:
    from torch import Tensor

SAFE_TORCH = (2, 10)
"""The first version of torch whose loader for weights alone has no known hole."""
MOST_COPIES = 3
"""Most bytes of the file, as a multiple of the weights' in fp32: fp64, or an untied head and causal masks."""
OTHER_BYTES = 1 << 28
"""Bytes allowed beside that: the causal masks of the released models have up to 200 MB."""


def read_pickled_weights(folder: ModelFolder, config: ModelConfig, *, is_allowed: bool) -> "dict[str, Tensor]":
    """The state of the lab's model, in fp32, from the folder's pytorch_model.bin.

    Raises:
        UserError: if the user has not asked for it (`is_allowed`), torch is too old, or the file holds anything else.
        DamagedFileError: if it is no regular file, or too large for the model.
    """
    import torch

    path = folder.file(PICKLE)
    if path is None:
        raise UserError(f"{folder.shown} holds no weights: it has no model.safetensors.")
    if not is_allowed:
        raise UserError(
            f"{folder.shown} has its weights in {PICKLE} alone, a pickle, which can execute code; take the model as safetensors, "
            "or add --convert-pickle, which reads it with torch's loader for weights alone."
        )
    if torch_version(torch.__version__) < SAFE_TORCH:
        raise UserError(
            f"torch {torch.__version__} cannot read {PICKLE} safely; update it to 2.10 or newer, or take safetensors instead."
        )
    with open_regular(path, MOST_COPIES * BYTES * parameter_count(config) + OTHER_BYTES) as file:
        try:
            loaded = torch.load(file, map_location="cpu", weights_only=True)
        except Exception as error:  # a damaged or hostile file makes torch raise almost anything
            reason = shortened(visible(str(error).split("\n")[0]), 150)
            raise UserError(f"{folder.shown}/{PICKLE} cannot be read as weights alone: {reason}.") from error
    if not isinstance(loaded, dict) or not all(
        isinstance(name, str) and type(value) in (torch.Tensor, torch.nn.Parameter) and value.layout is torch.strided
        for name, value in loaded.items()
    ):
        raise UserError(f"{folder.shown}/{PICKLE} cannot be imported: it holds something other than tensors by their names.")
    words = {torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16", torch.float64: "F64"}
    found = {
        name: StoredTensor(path, name, tuple(value.shape), words.get(value.dtype, str(value.dtype)))
        for name, value in loaded.items()
    }
    own = check_tensors(found, config, folder.shown)
    return to_own_state({name: loaded[tensor.name].detach() for name, tensor in own.items()}, config, folder.shown)


def torch_version(words: str) -> tuple[int, int]:
    """Major and minor number of a version such as `2.13.0+cpu`; (0, 0) where there are none."""
    found = re.match(r"(\d+)\.(\d+)", words)
    return (int(found[1]), int(found[2])) if found else (0, 0)
