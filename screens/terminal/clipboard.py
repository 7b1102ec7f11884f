"""Copying: what the focused part holds, as clean text, to the terminal's clipboard, and into a file for terminals without one."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from textual.app import App
from textual.geometry import Region
from textual.screen import Screen
from textual.widget import Widget

from lab.core.errors import DamagedFileError, UserError
from lab.core.number_format import bytes_, counted
from lab.core.safe_open import read_regular
from lab.core.visible_text import visible

CLIPBOARD_BYTES = 74_000
"""Least size that terminals take through OSC 52: xterm's limit of 100,000 characters in base64."""

FILE = "copied.txt"
"""Name of the file, among the exports, that has what was copied last; numbered where it is taken."""

_written: tuple[Path, str] | None = None
"""The file that this lab wrote, and what: it is replaced at the next copying unless somebody has changed it meanwhile."""

LINES_OF_BOXES = re.compile(f"[{chr(0x2500)}-{chr(0x257F)}▏▕▁▔]")  # box drawing, and the eighths that stand for a border


@runtime_checkable
class Copies(Protocol):
    """A part that knows what a person wants of it: the number under its cursor, else all of its lines."""

    def text_to_copy(self) -> str: ...


def text_to_copy(screen: Screen[Any]) -> str:
    """The text of the focused part, or of the one around it that has one; else what the screen shows, part by part."""
    for part in screen.focused.ancestors_with_self if screen.focused is not None else ():
        if isinstance(part, Copies) and (text := part.text_to_copy()):
            return text
    shown = sorted((part for part in screen.query("*") if _is_content(part)), key=lambda part: part.region.offset[::-1])
    return "\n".join(filter(None, map(text_in_sight, shown)))


def _is_content(part: Widget) -> bool:
    return part.is_on_screen and not part.children and part.styles.dock not in ("top", "bottom")


def text_in_sight(part: Widget) -> str:
    """The lines of a part that are in sight, without its border and the lines of tables."""
    within = Region(part.gutter.left, part.gutter.top, *part.content_size)
    lines = (LINES_OF_BOXES.sub(" ", strip.text).rstrip() for strip in part.render_lines(within))
    return "\n".join(lines).strip("\n")


async def copy(app: App[object], text: str) -> str:
    """Copy a text; return what to say of it. Raises: UserError: too long for a clipboard, or no file can be written."""
    from lab.exchange.export_files import make_exports_folder
    from lab.runs.home_folder import home
    from screens.widgets.text_fitting import short_path

    text = visible(text, keep="\n\t")
    if (size := len(text.encode("utf-8", "replace"))) > CLIPBOARD_BYTES:
        raise UserError(
            f"That is {bytes_(size)} of text, and terminals take about {bytes_(CLIPBOARD_BYTES)}: export it (o) instead."
        )
    app.copy_to_clipboard(text)
    path = await asyncio.to_thread(_write, await asyncio.to_thread(make_exports_folder, home()) / FILE, text)
    what = f"“{text}”" if len(text) < 30 and "\n" not in text else counted(len(text.splitlines()), "line")
    return f"Copied {what}, by OSC 52 (in tmux: set -g set-clipboard on) and to {short_path(path)}."


def _write(path: Path, text: str) -> Path:
    """Write the file; return its path. Raises: UserError."""
    from lab.exchange.export_files import write_new_text, write_text

    global _written
    if _written is not None and _written[0].parent == path.parent and _contents(_written[0]) == _written[1]:
        path = _written[0]
        write_text(path, text, replace=True)
    else:
        path, _ = write_new_text(path, text)
    _written = path, text
    return path


def _contents(path: Path) -> str | None:
    """The text of a regular file no longer than a clipboard takes; None for anything else."""
    try:
        return read_regular(path, CLIPBOARD_BYTES).decode()
    except (OSError, UnicodeDecodeError, DamagedFileError):
        return None
