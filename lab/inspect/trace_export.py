"""The trace of one forward pass as a file: an archive of every array, or a summary in JSON."""

import os
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

from lab.core.atomic_io import refuse_special_file, temporary_beside, write_atomic
from lab.inspect.trace_summary import TraceSummary
from models.unembed import Slices

if TYPE_CHECKING:
    from models.trace import Trace


def write_npz(path: Path, traced: "Trace") -> None:
    """Write an npz archive like numpy.savez, with one array in memory at a time; it replaces the file when complete.

    Raises:
        OSError: from the system; the old file is then untouched.
        UserError: if something else than a file has its name.
    """
    for _ in npz_slices(path, traced):
        pass


def npz_slices(path: Path, traced: "Trace") -> Slices[None]:
    """The same, one array per slice."""
    import numpy as np

    refuse_special_file(path)
    temporary = temporary_beside(path)
    try:
        with zipfile.ZipFile(temporary, "w") as archive:
            for name in traced.names():
                with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                    np.lib.format.write_array(file, traced[name].numpy(force=True), allow_pickle=False)
                yield
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: Path, found: TraceSummary) -> None:
    """The summary as indented JSON. Raises: OSError."""
    import msgspec

    write_atomic(path, msgspec.json.format(msgspec.json.encode(found), indent=2) + b"\n")
