"""The trace of one forward pass as a file: an archive of every array."""

import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

from lab.core.atomic_io import export_file
from models.unembed import Slices

if TYPE_CHECKING:
    from models.trace import Trace


def npz_slices(path: Path, traced: "Trace", *, replace: bool = False) -> Slices[None]:
    """Write an npz archive like numpy.savez, one array per slice and in memory. Raises: UserError: as `export_file`."""
    import numpy as np

    with export_file(path, replace=replace) as whole, zipfile.ZipFile(whole, "w") as archive:
        for name in traced.names():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                np.lib.format.write_array(file, traced[name].numpy(force=True), allow_pickle=False)
            yield
