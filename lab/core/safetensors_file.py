"""Safetensors files: read and check the header, write tensor by tensor without a second copy in memory.

The layout is that of https://github.com/huggingface/safetensors: eight bytes with the length of a JSON header, the header
(name -> dtype, shape, where it lies; `__metadata__` -> strings), the tensors' bytes. The library's own writer either holds the
whole file in memory or reports a full disk as text without its error number, so writing is done here; reading is the library's.
"""

import json
import math
import re
import struct
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, BinaryIO, NamedTuple

import msgspec

from lab.core.atomic_io import Chunk, write_synced
from lab.core.errors import DamagedFileError
from lab.core.safe_open import JSON_ERRORS, open_regular
from lab.core.visible_text import quoted, shortened

LENGTH = struct.Struct("<Q")
LONGEST_HEADER = 10_000_000
"""Bytes; a GPT-2's is some ten thousand."""
SIZES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1}
"""Bytes of one number of each type, by safetensors' names of them."""
FLOATS = ("F64", "F32", "F16", "BF16")

CHECKSUM = "crc32"
"""Name in the metadata of the CRC-32 over the tensors' bytes, in hexadecimal digits."""
HEADER_CHECKSUM = "header_crc32"
"""The same over the rest of the header, as JSON without spaces and with sorted keys."""

STEP = re.compile("[0-9]{1,12}")

CHUNK_BYTES = 1 << 20


EXPONENT_BITS = {"F32": ("<u4", 0x7F800000), "BF16": ("<u2", 0x7F80), "F16": ("<u2", 0x7C00)}
"""Of each number format an unsigned integer of its size, and its exponent's bits: NaN and infinity have all of them."""


class RawTensor(NamedTuple):
    """A tensor as its bytes, in safetensors' words: dtype "F32", "BF16", "I64"..."""

    dtype: str
    shape: tuple[int, ...]
    data: memoryview

    @property
    def is_finite(self) -> bool:
        """False if it holds NaN or infinity."""
        import numpy as np

        if self.dtype not in EXPONENT_BITS:
            return True
        size, mask = EXPONENT_BITS[self.dtype]
        bits = np.frombuffer(self.data, size)
        blocks = (bits[at : at + CHUNK_BYTES] for at in range(0, len(bits), CHUNK_BYTES))
        return not any(((block & mask) == mask).any() for block in blocks)


def write_tensors(path: Path, tensors: dict[str, RawTensor], metadata: dict[str, str]) -> None:
    """Write a safetensors file with a checksum and fsync it; a file that could not be finished is removed.
    Raises OSError as the system says."""
    places: dict[str, object] = {}
    end, checksum = 0, 0
    for name, tensor in tensors.items():
        start, end = end, end + tensor.data.nbytes
        places[name] = {"dtype": tensor.dtype, "shape": tensor.shape, "data_offsets": [start, end]}
        checksum = zlib.crc32(tensor.data, checksum)
    metadata = metadata | {CHECKSUM: f"{checksum:08x}"}
    own = _checksum_of_header({"__metadata__": metadata} | places)
    header = json.dumps({"__metadata__": metadata | {HEADER_CHECKSUM: own}} | places, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)  # so that the tensors lie aligned

    def chunks() -> Iterator[Chunk]:
        yield LENGTH.pack(len(header)) + header
        for tensor in tensors.values():
            yield tensor.data

    write_synced(path, chunks())


class TensorEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A tensor's entry in the header."""

    dtype: str
    shape: Annotated[tuple[Annotated[int, msgspec.Meta(ge=0, le=1 << 40)], ...], msgspec.Meta(max_length=8)]
    data_offsets: tuple[int, int]


class Header(NamedTuple):
    metadata: dict[str, str]
    tensors: dict[str, TensorEntry]

    @property
    def step(self) -> int:
        """The training step that the weights are of; 0 where the file does not say."""
        return int(self.metadata.get("step", "0"))


def read_header(path: Path) -> Header:
    """The header of a safetensors file that has the length it states, its tensors one behind the other.

    Raises:
        FileNotFoundError: if there is none.
        DamagedFileError: if it cannot be used, with what is wrong.
    """
    with opened_with_header(path) as (_, header):
        pass
    return header


def check_whole(path: Path) -> Header:
    """The header of a file whose length and checksum, where it has one, are right. Reads all of it.

    Raises what `read_header` does.
    """
    with opened_with_header(path) as (file, header):
        if CHECKSUM in header.metadata:
            checksum = 0
            while piece := file.read(CHUNK_BYTES):
                checksum = zlib.crc32(piece, checksum)
            if f"{checksum:08x}" != header.metadata[CHECKSUM]:
                raise DamagedFileError(path, "is damaged (its checksum does not fit)")
    return header


@contextmanager
def opened_with_header(path: Path) -> Iterator[tuple[BinaryIO, Header]]:
    """The file, left standing where the tensors' bytes begin, and its header. Raises what `read_header` does."""
    try:
        opened = open_regular(path)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise DamagedFileError(path, f"cannot be read ({(error.strerror or str(error)).lower()})") from error
    with opened as file:
        try:
            header = _parsed(file)
        except struct.error as error:
            raise DamagedFileError(path, "is too short for a file of weights") from error
        except JSON_ERRORS as error:
            damage = f"is not a file of weights, or its header is damaged ({shortened(str(error), 100)})"
            raise DamagedFileError(path, damage) from error
        except ValueError as error:
            raise DamagedFileError(path, str(error)) from error
        yield file, header


def read_metadata(path: Path) -> dict[str, str] | None:
    """The `__metadata__` of a safetensors file; None where `read_header` fails."""
    try:
        return read_header(path).metadata
    except (OSError, DamagedFileError):
        return None


def step_of(metadata: Mapping[str, str] | None) -> int | None:
    """The step in a weights file's metadata; None where there is no valid one."""
    said = (metadata or {}).get("step", "")
    return int(said) if STEP.fullmatch(said) else None


def is_whole(path: Path) -> bool:
    """True if the file exists and passes `check_whole`. Reads all of it."""
    try:
        check_whole(path)
    except (OSError, DamagedFileError):
        return False
    return True


def _parsed(file: BinaryIO) -> Header:
    """The header, with the file left standing where the tensors' bytes begin. Raises ValueError with what is wrong with it."""
    (length,) = LENGTH.unpack(file.read(LENGTH.size))
    if length > LONGEST_HEADER:
        raise ValueError("is not a file of weights: its first bytes are not the length of a header")
    raw = file.read(length)
    if len(raw) < length:
        raise ValueError("is damaged (its header is cut off)")
    entries = msgspec.json.decode(raw, type=dict[str, msgspec.Raw])
    metadata = msgspec.json.decode(entries.pop("__metadata__", b"{}"), type=dict[str, str])
    tensors = {name: msgspec.json.decode(entry, type=TensorEntry) for name, entry in entries.items()}
    if own := metadata.get(HEADER_CHECKSUM):
        told = {name: value for name, value in metadata.items() if name != HEADER_CHECKSUM}
        if _checksum_of_header({"__metadata__": told} | msgspec.to_builtins(tensors)) != own:
            raise ValueError("is damaged (the checksum of its header does not fit)")
    step = metadata.get("step", "0")
    if not STEP.fullmatch(step):
        raise ValueError(f"says that its weights are of step {quoted(step, 40)}, which is not a step")
    if "val_loss" in metadata and not _is_number(metadata["val_loss"]):
        raise ValueError(f"says that its validation loss is {quoted(metadata['val_loss'], 40)}, which is not a number")
    end = 0
    for name, place in sorted(tensors.items(), key=lambda entry: entry[1].data_offsets):
        size = SIZES.get(place.dtype)
        if size is None:
            raise ValueError(f"holds {quoted(name)} as {quoted(place.dtype, 20)}, a type that the lab does not know")
        start, stop = place.data_offsets
        if start != end or stop - start != math.prod(place.shape) * size:
            raise ValueError(f"is damaged (the bytes of {quoted(name)} are not where its shape says)")
        end = stop
    begin = file.tell()
    missing = begin + end - file.seek(0, 2)
    if missing:
        raise ValueError(f"is damaged ({abs(missing):,} bytes {'are missing' if missing > 0 else 'too many'})")
    file.seek(begin)
    return Header(metadata, tensors)


def _is_number(text: str) -> bool:
    try:
        return len(text) < 40 and math.isfinite(float(text))
    except ValueError:
        return False


def _checksum_of_header(header: Mapping[str, object]) -> str:
    return f"{zlib.crc32(json.dumps(header, separators=(',', ':'), sort_keys=True).encode()):08x}"
