"""The head of a safetensors file, and writing one tensor after the other without a second copy of them all.

The layout is that of https://github.com/huggingface/safetensors: eight bytes with the length of a JSON header, the header
(name -> dtype, shape, where it lies; `__metadata__` -> strings), the tensors' bytes. The library's own writer either holds the
whole file in memory or reports a full disk as text without its error number, so writing is done here; reading is the library's.
"""

import json
import re
import struct
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO, NamedTuple

import msgspec

from lab.durable import Chunk, write_synced
from lab.errors import DamagedFileError
from lab.regular_file import open_regular

LENGTH = struct.Struct("<Q")
LONGEST_HEADER = 100_000_000
"""The limit that the library sets, too."""

CHECKSUM = "crc32"
"""Name in the metadata of the CRC-32 over the tensors' bytes, in hexadecimal digits."""
HEADER_CHECKSUM = "header_crc32"
"""The same over the rest of the header, as JSON without spaces and with sorted keys."""

STEP = re.compile("[0-9]{1,12}")

PIECE = 1 << 20


class RawTensor(NamedTuple):
    """A tensor as its bytes, in safetensors' words: dtype "F32", "BF16", "I64"..."""

    dtype: str
    shape: tuple[int, ...]
    data: memoryview


def write_tensors(path: Path, tensors: dict[str, RawTensor], metadata: dict[str, str]) -> None:
    """Writes a safetensors file with a checksum and syncs it to the disk; a file that could not be finished is removed.

    Raises:
        OSError: as the system says.
    """
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


def read_metadata(path: Path) -> dict[str, str] | None:
    """The `__metadata__` of a safetensors file as long as its header says, or None if it is no such file."""
    try:
        with open_regular(path) as file:
            return _read_header(file)
    except (OSError, DamagedFileError):
        return None


def step_of(metadata: Mapping[str, str] | None) -> int | None:
    """The step that a file of weights says it is of; None where it says none that can be."""
    said = (metadata or {}).get("step", "")
    return int(said) if STEP.fullmatch(said) else None


def is_whole(path: Path) -> bool:
    """Whether the file's bytes are those that were written: its length, and the checksum where it has one. Reads all of it."""
    try:
        with open_regular(path) as file:
            metadata = _read_header(file)
            if metadata is None:
                return False
            if CHECKSUM not in metadata:
                return True
            checksum = 0
            while piece := file.read(PIECE):
                checksum = zlib.crc32(piece, checksum)
            return f"{checksum:08x}" == metadata[CHECKSUM]
    except (OSError, DamagedFileError):
        return False


def _read_header(file: BinaryIO) -> dict[str, str] | None:
    """The metadata, with the file left standing where the tensors' bytes begin."""
    try:
        (length,) = LENGTH.unpack(file.read(LENGTH.size))
        if length > LONGEST_HEADER:
            return None
        header = msgspec.json.decode(file.read(length), type=dict[str, dict[str, object]])
    except (struct.error, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    metadata = {name: str(value) for name, value in header.get("__metadata__", {}).items()}
    if own := metadata.get(HEADER_CHECKSUM):
        told = {name: value for name, value in metadata.items() if name != HEADER_CHECKSUM}
        if _checksum_of_header(header | {"__metadata__": told}) != own:
            return None
    ends = [places[1] for entry in header.values() if isinstance(places := entry.get("data_offsets"), list) and len(places) == 2]
    begin = file.tell()
    whole = file.seek(0, 2) == begin + max(ends, default=0)
    file.seek(begin)
    return metadata if whole else None


def _checksum_of_header(header: Mapping[str, object]) -> str:
    return f"{zlib.crc32(json.dumps(header, separators=(',', ':'), sort_keys=True).encode()):08x}"
