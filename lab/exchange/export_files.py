"""Export files: their folder, their names, and writing them."""

import re
from pathlib import Path

from lab.core.atomic_io import os_error_in_words, write_atomic
from lab.views.blocks import ModelFacts, View


def exports_path(home: Path) -> Path:
    """The folder of exports in a home."""
    return home / "exports"


def export_file_name(facts: ModelFacts, view: View, position: int, what: str) -> str:
    """`tale-step-2000-layer-2-attention-head-3-values-position-4.svg`; of a whole trace, without the view."""
    place = "trace" if what in ("npz", "json") else _slug(view.title)
    at = "" if what in ("npz", "json") else f"-position-{position + 1}"
    end = "txt" if what == "text" else what
    return f"{_slug(facts.run)}-step-{facts.step}-{place}{at}.{end}"


def _slug(words: str) -> str:
    """The words as part of a file name that every system takes."""
    return re.sub(r"[^a-z0-9]+", "-", words.lower()).strip("-")[:80] or "view"


def unused_path(path: Path) -> Path:
    """The path, numbered if it is taken, so that no earlier export is overwritten."""
    found, number = path, 1
    while found.exists():
        number += 1
        found = path.with_stem(f"{path.stem}-{number}")
    return found


def make_exports_folder(home: Path) -> Path:
    """The folder of exports, made where it is missing. Raises: UserError."""
    folder = exports_path(home)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise os_error_in_words(error, f"make the folder {folder}") from error
    return folder


def write_text(path: Path, text: str) -> int:
    """Write the text; return its size in bytes. Raises: UserError."""
    contents = text.encode("utf-8", "replace")
    try:
        write_atomic(path, contents)
    except OSError as error:
        raise os_error_in_words(error, f"write {path}") from error
    return len(contents)
