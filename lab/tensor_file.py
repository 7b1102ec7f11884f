"""The head of a safetensors file, and writing one tensor after the other without a second copy of them all.

The layout is that of https://github.com/huggingface/safetensors: eight bytes with the length of a JSON header, the header
(name -> dtype, shape, where it lies; `__metadata__` -> strings), the tensors' bytes. The library's own writer either holds the
whole file in memory or reports a full disk as text without its error number, so writing is done here; reading is the library's.
"""

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec

from lab.durable import Chunk, write_synced

LENGTH = struct.Struct("<Q")
LONGEST_HEADER = 100_000_000
"""The limit that the library sets, too."""


class RawTensor(NamedTuple):
    """A tensor as its bytes, in safetensors' words: dtype "F32", "BF16", "I64"..."""

    dtype: str
    shape: tuple[int, ...]
    data: memoryview


def write_tensors(path: Path, tensors: dict[str, RawTensor], metadata: dict[str, str]) -> None:
    """Writes a safetensors file and syncs it to the disk; a file that could not be finished is removed.

    Raises:
        OSError: as the system says.
    """
    header: dict[str, object] = {"__metadata__": metadata}
    end = 0
    for name, tensor in tensors.items():
        start, end = end, end + tensor.data.nbytes
        header[name] = {"dtype": tensor.dtype, "shape": tensor.shape, "data_offsets": [start, end]}
    encoded = json.dumps(header, separators=(",", ":")).encode()
    encoded += b" " * (-len(encoded) % 8)  # so that the tensors lie aligned

    def chunks() -> Iterator[Chunk]:
        yield LENGTH.pack(len(encoded)) + encoded
        for tensor in tensors.values():
            yield tensor.data

    write_synced(path, chunks())


def read_metadata(path: Path) -> dict[str, str] | None:
    """The `__metadata__` of a safetensors file whose length is what its header says, or None if it is no such file."""
    try:
        with path.open("rb") as file:
            (length,) = LENGTH.unpack(file.read(LENGTH.size))
            if length > LONGEST_HEADER:
                return None
            header = msgspec.json.decode(file.read(length), type=dict[str, dict[str, object]])
        ends = [places[1] for entry in header.values() if isinstance(places := entry.get("data_offsets"), list)]
        if path.stat().st_size != LENGTH.size + length + max(ends, default=0):
            return None
        return {name: str(value) for name, value in header.get("__metadata__", {}).items()}
    except (OSError, struct.error, msgspec.DecodeError, TypeError, IndexError):
        return None
