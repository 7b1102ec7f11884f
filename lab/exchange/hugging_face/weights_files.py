"""Weights of a model folder: found, checked against the model's shape by their headers alone, then read tensor by tensor."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple, TypeVar

import msgspec
from msgspec import Meta

from lab.core.errors import DamagedFileError, UserError
from lab.core.machine import memory
from lab.core.number_format import bytes_
from lab.core.safe_open import LARGEST_CONFIG, opened_by_name, read_json
from lab.core.safetensors_file import FLOATS, read_header
from lab.core.visible_text import quoted, shortened, visible
from lab.exchange.hugging_face.model_folder import ModelFolder
from models.config import ModelConfig
from models.parameter_count import BYTES, inventory, parameter_count

if TYPE_CHECKING:
    from torch import Tensor

SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"
PICKLE, PICKLE_INDEX = "pytorch_model.bin", "pytorch_model.bin.index.json"
MOST_SHARDS = 1000
MOST_TENSORS = 1 << 16

T = TypeVar("T")


class _Index(msgspec.Struct):
    """The index of shards: the shard of each tensor."""

    weight_map: Annotated[
        dict[Annotated[str, Meta(max_length=500)], Annotated[str, Meta(max_length=500)]],
        Meta(min_length=1, max_length=MOST_TENSORS),
    ]


class StoredTensor(NamedTuple):
    """A tensor in a file, by its name there."""

    path: Path
    name: str
    shape: tuple[int, ...]
    dtype: str
    """In safetensors' words: "F32"."""


def find_tensors(folder: ModelFolder) -> dict[str, StoredTensor] | None:
    """The tensors in the folder's safetensors files, by name, from the headers; None if it has no such files.

    Raises:
        DamagedFileError: if a file cannot be used.
        UserError: if the index and its shards disagree, or a shard's name leads out of the folder.
    """
    if (single := folder.file(SINGLE)) is not None:
        return _tensors_in(single)
    if (listed := folder.file(INDEX)) is None:
        return None
    return read_shards(folder, listed, INDEX, lambda path, shard: _tensors_in(path))


def read_shards(folder: ModelFolder, listed: Path, index: str, read: Callable[[Path, str], Mapping[str, T]]) -> dict[str, T]:
    """The tensors of all shards that the index at `listed` names; `read` reads those of one shard, given its path and its name.

    `index` is the name of the index in messages.

    Raises:
        DamagedFileError: if the index cannot be used.
        UserError: if a shard is missing, its name leads out of the folder, there are too many, or the index and a shard disagree.
    """
    try:
        weight_map = read_json(listed, _Index, LARGEST_CONFIG).weight_map
    except OSError as error:
        raise DamagedFileError(listed, f"cannot be read ({(error.strerror or str(error)).lower()})") from error
    shards = sorted(set(weight_map.values()))
    if len(shards) > MOST_SHARDS:
        raise UserError(f"{folder.shown} has {len(shards):,} files of weights, of {MOST_SHARDS:,} that are read.")
    paths: list[Path] = []
    for shard in shards:
        path = folder.file(shard)
        if path is None:
            raise UserError(f"{folder.shown} is not complete: {quoted(shard)} is missing; download or copy the model again.")
        paths.append(path)
    found: dict[str, T] = {}
    for shard, path in zip(shards, paths, strict=True):
        tensors = read(path, shard)
        if other := next((name for name in tensors if weight_map.get(name) != shard), None):
            raise UserError(
                f"{folder.shown} is damaged: {index} does not have {quoted(other)} in {quoted(shard)}, which holds it."
            )
        found |= tensors
    if missing := weight_map.keys() - found.keys():
        first = min(missing)
        raise UserError(
            f"{folder.shown} is damaged: {quoted(first)} is not in {quoted(weight_map[first])}, where {index} has it."
        )
    return found


def _tensors_in(path: Path) -> dict[str, StoredTensor]:
    try:
        entries = read_header(path).tensors
    except FileNotFoundError as error:
        raise DamagedFileError(path, "is missing") from error
    return {name: StoredTensor(path, name, entry.shape, entry.dtype) for name, entry in entries.items()}


def check_memory_for(config: ModelConfig, shown: str) -> None:
    """Check that the model's weights fit into memory. Raises: UserError."""
    needed = BYTES * parameter_count(config)
    if needed > memory():
        raise UserError(
            f"The model in {shown} cannot be imported: it needs {bytes_(needed)} of memory, and this machine has "
            f"{bytes_(memory())}."
        )


def check_tensors(found: dict[str, StoredTensor], config: ModelConfig, shown: str, *, is_tied: bool) -> dict[str, StoredTensor]:
    """The tensors by their names in the lab's model, if they are all of the weights of a GPT-2 of this shape, and no others.

    The head may be missing where it is the token embedding (`is_tied`).

    Raises:
        UserError: otherwise, with the first difference.
    """
    from models.hugging_face_weights import HEAD, hugging_face_shape, own_names

    try:
        own = {own: found[name] for name, own in own_names(found).items()}
    except ValueError as error:
        raise UserError(f"The weights in {shown} cannot be imported: {visible(str(error))}") from error
    shapes = {weight.name: hugging_face_shape(weight.name, weight.shape) for weight in inventory(config)}
    for name in (*shapes, *own):
        tensor, expected = own.get(name), shapes.get(name)
        if name == HEAD and tensor is None:
            if not is_tied:
                raise UserError(
                    f"The weights in {shown} cannot be imported: by config.json the output head is not the token embedding "
                    f"(tie_word_embeddings is false), and there is no {HEAD}."
                )
            continue
        if tensor is None:
            raise UserError(f"The weights in {shown} are not complete: {name} is missing.")
        if expected is None:
            raise UserError(f"The weights in {shown} cannot be imported: a GPT-2 of this shape has no {quoted(tensor.name)}.")
        if tensor.shape != expected:
            sizes, right = (" × ".join(map(str, shape)) or "one number" for shape in (tensor.shape, expected))
            raise UserError(
                f"The weights in {shown} do not fit its config.json: {shortened(tensor.name)} is {sizes} where the model has "
                f"{right}."
            )
        if tensor.dtype not in FLOATS:
            raise UserError(f"The weights in {shown} cannot be imported: {shortened(tensor.name)} is {tensor.dtype}, no float.")
    return own


def read_tensors(own: dict[str, StoredTensor], config: ModelConfig, shown: str) -> "dict[str, Tensor]":
    """The state of the lab's model, in fp32, from checked tensors.

    Raises:
        DamagedFileError: if a file was changed meanwhile, or holds NaN or infinity.
        UserError: if the head is not the token embedding.
    """
    from safetensors import SafetensorError, safe_open

    read: dict[str, Tensor] = {}
    for path in sorted({tensor.path for tensor in own.values()}):
        try:
            with opened_by_name(path) as name_of_file, safe_open(name_of_file, framework="pt") as file:
                for name, tensor in own.items():
                    if tensor.path == path:
                        read[name] = file.get_tensor(tensor.name)
        except (SafetensorError, OSError) as error:
            raise DamagedFileError(path, f"cannot be read ({shortened(str(error), 100)})") from error
    return to_own_state(read, config, shown)


def to_own_state(read: "dict[str, Tensor]", config: ModelConfig, shown: str) -> "dict[str, Tensor]":
    """The state in fp32 and in the lab's layout, from Hugging Face's tensors by their names in the lab's model.

    Raises:
        UserError: if one holds NaN or infinity, or the head is not the token embedding.
    """
    import torch

    from models.hugging_face_weights import EMBEDDING, HEAD, UNTIED, turned

    head = read.pop(HEAD, None)
    if head is not None and not torch.equal(head.float(), read[EMBEDDING].float()):
        raise UserError(f"The weights in {shown} cannot be imported: {UNTIED}")
    state = {}
    for weight in inventory(config):
        if weight.tied_to is None:
            value = turned(weight.name, read.pop(weight.name).float())
            if not bool(torch.isfinite(value).all()):
                raise UserError(f"The weights in {shown} cannot be imported: {weight.name} holds NaN or infinity.")
            state[weight.name] = value
    return state
