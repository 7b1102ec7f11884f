"""Path completion: the names that a half-typed path may become."""

import os
from pathlib import Path

from lab.data.builtin_texts import BUILTINS
from lab.data.file_browser import is_folder


def completions(typed: str) -> list[str]:
    """Completions of a half-typed path or name, sorted; folders end in `/`. Hidden names only where the dot was typed."""
    head, base = os.path.split(typed)
    place = Path(head or ".").expanduser()
    try:
        with os.scandir(place) as entries:
            names = [entry.name + ("/" if is_folder(entry) else "") for entry in entries if entry.name.startswith(base)]
    except (OSError, ValueError, RuntimeError):
        names = []
    if not base.startswith("."):
        names = [name for name in names if not name.startswith(".")]
    builtin = [name for name in BUILTINS if not head and base and name.startswith(base)]
    return builtin + sorted(os.path.join(head, name) for name in names)


def common_start(names: list[str]) -> str:
    """The longest beginning that all the names share."""
    if not names:
        return ""
    first, last = min(names), max(names)
    same = next(
        (at for at, (one, other) in enumerate(zip(first, last, strict=False)) if one != other), min(len(first), len(last))
    )
    return first[:same]
