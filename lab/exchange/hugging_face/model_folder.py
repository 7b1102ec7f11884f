"""A folder with a model in Hugging Face's layout: a local one, or an entry of the Hugging Face cache."""

import os
import re
from pathlib import Path

from lab.core.errors import DamagedFileError, UserError
from lab.core.safe_open import read_regular
from lab.core.visible_text import quoted, shortened, visible

CACHE_ENTRY = "models--"
"""Prefix of a repository's folder in the Hugging Face cache. Its `snapshots/<revision>/` holds links to the files in `blobs/`."""
CONFIG = "config.json"
REVISION = re.compile("[0-9a-f]{40}")
LARGEST_REF = 1000
"""Bytes of a branch's file, which holds the name of a snapshot."""
PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")
"""Name of a file that lies in the folder itself, whatever the system."""


class ModelFolder:
    """The folder of one model, and the paths of its files."""

    def __init__(self, path: Path) -> None:
        self.path = Path(os.path.abspath(path))
        if not _is_snapshot(self.path) and _is_snapshot(real := Path(os.path.realpath(path))):
            self.path = real  # a link to an entry of the cache
        repository, is_cached = self.path.parent.parent, _is_snapshot(self.path)
        self._own = [os.path.realpath(self.path)]
        """Real folders that links of this one may lead into."""
        if is_cached:
            self._own.append(os.path.join(os.path.realpath(repository), "blobs"))
        self.name = visible(repository.name.rpartition("--")[2] if is_cached else self.path.name)
        self.revision = self.path.name if is_cached and REVISION.fullmatch(self.path.name) else ""
        """Commit of the repository that a cache entry is of; empty for any other folder."""

    @property
    def shown(self) -> str:
        """The folder's path for a sentence."""
        return visible(shortened(str(self.path), 200))

    def file(self, name: str) -> Path | None:
        """The path to open for the file of this name, or None if there is none.

        A link within the folder is followed, and that of a snapshot into the `blobs` of its repository, of which the Hugging Face
        cache is made; the path is then that of the file there. Any other link stays one, and is refused by whoever opens it.

        Raises:
            UserError: if the name is none of a file in this folder.
        """
        if not PLAIN_NAME.fullmatch(name):
            raise UserError(f"{self.shown} names a file {quoted(name)}, which cannot lie in the folder itself.")
        path = self.path / name
        if not os.path.lexists(path):
            return None
        target = Path(os.path.realpath(path))
        return target if path.is_symlink() and any(map(target.is_relative_to, self._own)) else path


def _is_snapshot(path: Path) -> bool:
    """True for the path of a snapshot in the Hugging Face cache, or in a copy of one of its repositories by another name."""
    repository = path.parent.parent
    is_repository = repository.name.startswith(CACHE_ENTRY) or (repository / "blobs").is_dir()
    return path.parent.name == "snapshots" and is_repository


def open_model_folder(path: Path) -> ModelFolder:
    """The model folder at a path; of a repository in the Hugging Face cache, its snapshot.

    Raises:
        UserError: if there is no such folder, or no model in it.
    """
    shown = visible(shortened(str(path), 200))
    if not os.path.lexists(path):
        raise UserError(f"There is no folder {shown}; give the folder of a model, or choose a model by its name, such as gpt2.")
    if not path.is_dir():
        raise UserError(f"{shown} is not a folder; give the folder that holds the model's config.json.")
    if not os.path.lexists(path / CONFIG) and (snapshot := newest_snapshot(path)) is not None:
        return ModelFolder(snapshot)
    folder = ModelFolder(path)
    if folder.file(CONFIG) is None:
        raise UserError(f"{shown} holds no model: it has no config.json.")
    return folder


def newest_snapshot(repository: Path) -> Path | None:
    """The snapshot with a model of a repository's folder in the cache: that of its branch `main`, else the newest; or None."""
    complete, main = [path for path in _snapshots(repository) if has_model(path)], _main(repository)
    return next((path for path in complete if path.name == main), complete[0] if complete else None)


def _snapshots(repository: Path) -> list[Path]:
    """The newest first."""
    try:
        return sorted((repository / "snapshots").iterdir(), key=lambda path: path.lstat().st_mtime, reverse=True)
    except OSError:
        return []


def _main(repository: Path) -> str:
    """The name of the snapshot that the branch `main` is at; empty if the file that says so is missing or cannot be used."""
    try:
        return read_regular(repository / "refs" / "main", LARGEST_REF).decode("ascii", "replace").strip()
    except (OSError, DamagedFileError):
        return ""


def has_model(path: Path) -> bool:
    """True of a snapshot with settings and weights: a download that was broken off may have neither."""
    weights = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json")
    return os.path.isfile(path / CONFIG) and any(os.path.isfile(path / name) for name in weights)
