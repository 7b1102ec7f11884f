"""The trace of one forward pass as a file: an archive of every array, or a summary in JSON."""

import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

from lab.inspect.trace_summary import TraceSummary
from lab.runs.export_file import export_file, write_export
from models.unembed import Slices

if TYPE_CHECKING:
    from models.trace import Trace


def write_npz(path: Path, traced: "Trace", *, replace: bool = False) -> None:
    """Write an npz archive like numpy.savez, with one array in memory at a time. Raises UserError as `export_file`."""
    for _ in npz_slices(path, traced, replace=replace):
        pass


def npz_slices(path: Path, traced: "Trace", *, replace: bool = False) -> Slices[None]:
    """The same, one array per slice."""
    import numpy as np

    with export_file(path, replace=replace) as whole, zipfile.ZipFile(whole, "w") as archive:
        for name in traced.names():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                np.lib.format.write_array(file, traced[name].numpy(force=True), allow_pickle=False)
            yield


def write_json(path: Path, found: TraceSummary) -> None:
    """The summary as indented JSON. Raises UserError as `export_file`."""
    import msgspec

    write_export(path, [msgspec.json.format(msgspec.json.encode(found), indent=2) + b"\n"])
