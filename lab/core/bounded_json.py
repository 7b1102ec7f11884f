"""Size limits of a run's files, and JSON decoded as a type or an error that names the file."""

from pathlib import Path
from typing import TypeVar

import msgspec

from lab.core.errors import DamagedFileError
from lab.core.safe_open import read_regular
from lab.core.visible_text import visible

T = TypeVar("T")

LARGEST_CONFIG = 8 << 20
"""Bytes of config.json, whose prompts may have megabytes."""
LARGEST_STATUS = 1 << 16
LARGEST_TOKENIZER = 64 << 20
"""GPT-2's tokenizer.json has 1 MB, and that of the largest vocabulary about 30."""
LARGEST_COMMAND = 4 << 20
LARGEST_LINES = 4 << 30
"""metrics.jsonl and the other files of lines; twenty million steps."""
LARGEST_LINE = 4 << 20
"""One line of them."""

LONGEST_REASON = 300

JSON_ERRORS = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""Errors of decoding JSON: malformed, of another type or out of bounds; no UTF-8; nested too deeply."""


def read_json(path: Path, kind: type[T], most: int) -> T:
    """A JSON file as a type.

    Raises:
        OSError: as the system says.
        DamagedFileError: if it is no regular file, larger than `most` bytes, or no JSON of this type within its bounds.
    """
    return decode_json(path, read_regular(path, most), kind)


def decode_json(path: Path, raw: bytes, kind: type[T]) -> T:
    """`read_json` of bytes that were read already; the error names `path`."""
    try:
        return msgspec.json.decode(raw, type=kind)
    except JSON_ERRORS as error:
        raise DamagedFileError(path, f"is damaged: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    return visible(str(error)[:LONGEST_REASON]).removesuffix(".")
