"""pytorch_model.bin, or shards of it: pickles, read by torch's loader for weights alone, and only where the user asks for it.

A pickle can execute code. torch's loader for weights alone refuses everything but tensors; up to 2.5 and again up to 2.9 it could
be circumvented (CVE-2025-32434, CVE-2026-24747), so that with an older torch nothing is read, and never with another loader.
"""

import re
import warnings
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from lab.core.errors import UserError
from lab.core.safe_open import open_regular
from lab.core.visible_text import quoted
from lab.exchange.hugging_face.model_folder import ModelFolder
from lab.exchange.hugging_face.weights_files import (
    PICKLE,
    PICKLE_INDEX,
    SINGLE,
    StoredTensor,
    check_tensors,
    read_shards,
    to_own_state,
)
from models.config import ModelConfig
from models.parameter_count import BYTES, parameter_count

ARCHIVE = b"PK\x03\x04"
"""First bytes of what torch reads as a zip archive; the format before torch 1.6 has others."""

if TYPE_CHECKING:
    from torch import Tensor

SAFE_TORCH = (2, 10)
"""The first version of torch whose loader for weights alone has no known hole."""
MOST_COPIES = 3
"""Most bytes of the file, as a multiple of the weights' in fp32: fp64, or an untied head and causal masks."""
OTHER_BYTES = 1 << 28
"""Bytes allowed beside that: the causal masks of the released models have up to 200 MB."""


def read_pickled_weights(folder: ModelFolder, config: ModelConfig, *, is_allowed: bool, is_tied: bool) -> "dict[str, Tensor]":
    """The state of the lab's model, in fp32, from the folder's pytorch_model.bin, or the shards that its index names.

    `is_tied` as for `check_tensors`.

    Raises:
        UserError: if the user has not asked for it (`is_allowed`), torch is too old, a file holds anything else, or the index and
            its shards disagree.
        DamagedFileError: if one is no regular file, or they are too large for the model.
    """
    import torch

    single, index = find_pickle(folder, is_allowed=is_allowed)
    if torch_version(torch.__version__) < SAFE_TORCH:
        raise UserError(
            f"torch {torch.__version__} cannot read {PICKLE} safely; update it to 2.10 or newer, or take safetensors instead."
        )
    room = MOST_COPIES * BYTES * parameter_count(config) + OTHER_BYTES
    if single is not None:
        loaded = _load(single, f"{folder.shown}/{PICKLE}", room)
    else:
        assert index is not None, "one of the two is there"

        def load(path: Path, shard: str) -> "dict[str, Tensor]":
            nonlocal room
            tensors = _load(path, f"{folder.shown}/{shard}", room)
            room -= path.stat().st_size
            return tensors

        loaded = read_shards(folder, index, PICKLE_INDEX, load)
    words = {torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16", torch.float64: "F64"}
    found = {
        name: StoredTensor(folder.path, name, tuple(value.shape), words.get(value.dtype, str(value.dtype)))
        for name, value in loaded.items()
    }
    own = check_tensors(found, config, folder.shown, is_tied=is_tied)
    return to_own_state({name: loaded[tensor.name].detach() for name, tensor in own.items()}, config, folder.shown)


def find_pickle(folder: ModelFolder, *, is_allowed: bool) -> tuple[Path | None, Path | None]:
    """The paths of pytorch_model.bin and of the index of its shards, None for the one that is not there. Reads neither.

    Raises:
        UserError: if there is none of them, or the user has not asked for it (`is_allowed`).
    """
    single, index = folder.file(PICKLE), folder.file(PICKLE_INDEX)
    if single is None and index is None:
        raise UserError(f"{folder.shown} holds no weights: it has no {SINGLE}.")
    if not is_allowed:
        raise UserError(
            f"{folder.shown} has its weights in {PICKLE if single else PICKLE_INDEX} alone, a pickle, which can execute code; "
            "take the model as safetensors, or import it by `llmlab import` with --convert-pickle, which reads it with torch's "
            "loader for weights alone."
        )
    return single, index


def _load(path: Path, shown: str, room: int) -> "dict[str, Tensor]":
    """The tensors of one file by their names, read by torch's loader for weights alone."""
    import torch

    with open_regular(path, max(0, room)) as file:
        _refuse_compressed(file, shown)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # torch warns of what is refused below in one sentence
                loaded = torch.load(file, map_location="cpu", weights_only=True)
        except MemoryError:
            raise
        except Exception as error:  # a damaged or hostile file makes torch raise almost anything
            called = re.search(r"GLOBAL (\S+)", str(error))
            reason = f"it names {quoted(called[1], 60)}, which is no weight and could be code" if called else ""
            reason = reason or "it is damaged, or holds something else"
            raise UserError(f"{shown} cannot be read as weights alone: {reason}; nothing in it was executed.") from error
    if not isinstance(loaded, dict) or not all(
        isinstance(name, str)
        and type(value) in (torch.Tensor, torch.nn.Parameter)
        and value.layout is torch.strided
        and not value.is_meta
        for name, value in loaded.items()
    ):
        raise UserError(f"{shown} cannot be imported: it holds something other than tensors by their names.")
    return loaded


def _refuse_compressed(file: BinaryIO, shown: str) -> None:
    """Refuse an archive with compressed parts: torch writes none, and a few of its bytes could grow without bound."""
    is_archive = file.read(len(ARCHIVE)) == ARCHIVE
    if is_archive:
        try:
            with zipfile.ZipFile(file) as archive:
                is_stored = all(part.compress_type == zipfile.ZIP_STORED for part in archive.infolist())
        except (zipfile.BadZipFile, NotImplementedError, ValueError):
            is_stored = False
        if not is_stored:
            raise UserError(f"{shown} cannot be imported: it is damaged, or has compressed parts, which torch does not write.")
    file.seek(0)


def torch_version(words: str) -> tuple[int, int]:
    """Major and minor number of a version such as `2.13.0+cpu`; (0, 0) where there are none."""
    found = re.match(r"(\d+)\.(\d+)", words)
    return (int(found[1]), int(found[2])) if found else (0, 0)
