"""Weights of a model folder: found, checked against the model's shape by their headers alone, then read tensor by tensor.

pytorch_model.bin, or shards of it, are read only where the user asks for it: a pickle can execute code. torch's loader for
weights alone refuses everything but tensors; up to 2.5 and again up to 2.9 it could be circumvented (CVE-2025-32434,
CVE-2026-24747), so that with an older torch nothing is read, and never with another loader.
"""

import re
import warnings
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO, NamedTuple, TypeVar

import msgspec
from msgspec import Meta

from lab.core.errors import DamagedFileError, UserError
from lab.core.machine import memory
from lab.core.number_format import bytes_
from lab.core.safe_open import LARGEST_CONFIG, open_regular, opened_by_name, read_json
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
    Raises UserError if one holds NaN or infinity, or the head is not the token embedding."""
    import torch

    from models.hugging_face_weights import EMBEDDING, HEAD, turned

    head = read.pop(HEAD, None)
    if head is not None and not torch.equal(head.float(), read[EMBEDDING].float()):
        untied = "the model's output head is not its token embedding, so it is no GPT-2."
        raise UserError(f"The weights in {shown} cannot be imported: {untied}")
    state = {}
    for weight in inventory(config):
        if weight.tied_to is None:
            value = turned(weight.name, read.pop(weight.name).float())
            if not bool(torch.isfinite(value).all()):
                raise UserError(f"The weights in {shown} cannot be imported: {weight.name} holds NaN or infinity.")
            state[weight.name] = value
    return state


ARCHIVE = b"PK\x03\x04"
"""First bytes of what torch reads as a zip archive; the format before torch 1.6 has others."""

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
    Raises UserError if there is none of them, or the user has not asked for it (`is_allowed`)."""
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
