"""Export files: their folder, their names, writing them, and a picture of the screen as PNG, with the package `resvg-py`."""

import os
import re
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from lab.core.atomic_io import folder_lock, os_error_in_words, write_export
from lab.core.errors import UserError
from lab.core.safe_open import make_private_folder, refuse_link
from lab.views.blocks import ModelFacts, View
from models.installation import install_command

if TYPE_CHECKING:
    from lab.inspect.trace_export import PromptReport


def export_file_name(facts: ModelFacts, view: View, position: int, what: str) -> str:
    """`tale-step-2000-layer-2-attention-head-3-values-position-4.svg`; of a whole trace or a report, without the view."""
    whole = {"npz": "trace", "json": "trace", "html": "report"}.get(what)
    place = whole or _slug(view.title)
    at = "" if whole else f"-position-{position + 1}"
    end = "txt" if what == "text" else what
    return f"{_slug(facts.run)}-step-{facts.step}-{place}{at}.{end}"


def run_export_name(run: str, what: str) -> str:
    """`tale-report.html`, `tale-training.svg`: of a run in Train."""
    return f"{_slug(run)}-{'report' if what == 'html' else 'training'}.{what}"


def _slug(words: str) -> str:
    """The words as part of a file name that every system takes."""
    return re.sub(r"[^a-z0-9]+", "-", words.lower()).strip("-")[:80] or "view"


def unused_path(path: Path) -> Path:
    """The path, numbered if it is taken, so that no earlier export is overwritten."""
    found, number = path, 1
    while os.path.lexists(found):
        number += 1
        found = path.with_stem(f"{path.stem}-{number}")
    return found


def make_exports_folder(home: Path) -> Path:
    """The folder of exports, made where it is missing. Raises UserError, also if it is a link."""
    folder = home / "exports"
    refuse_link(folder)
    try:
        make_private_folder(folder)
    except OSError as error:
        raise os_error_in_words(error, f"make the folder {folder}") from error
    return folder


def write_new_text(path: Path, text: str) -> tuple[Path, int]:
    """Write the text under this name, numbered if it is taken, also by another process at this moment; return the path and the
    size. Raises: UserError.
    """
    with folder_lock(path.absolute().parent):
        free = unused_path(path)
        return free, write_text(free, text)


def write_text(path: Path, text: str, *, replace: bool = False) -> int:
    """Write the text; return its size in bytes. Raises UserError as `export_file`."""
    return write_export(path, [text.encode("utf-8", "replace")], replace=replace)


def write_screenshot(path: Path, svg: str) -> int:
    """Write a picture of the screen: its SVG, or, where the path ends in `.png`, drawn from it. Raises: UserError."""
    return write_export(path, [svg_to_png(svg)]) if path.suffix == ".png" else write_text(path, svg)


def write_report(path: Path, run: str, prompt: "PromptReport | None" = None) -> int:
    """Write the HTML report of a run, for a thread. Raises: UserError."""
    from lab.exchange.html_report import html_report
    from lab.runs.find_runs import open_run

    return write_text(path, html_report(open_run(run), prompt))


MONOSPACED = (
    "Fira Code",
    "DejaVu Sans Mono",
    "Liberation Mono",
    "Noto Sans Mono",
    "Ubuntu Mono",
    "Cascadia Mono",
    "Menlo",
    "Consolas",
    "FreeMono",
    "Courier New",
)
"""Fonts that some system has, those first that have blocks and braille."""

NO_FONT = f"There is no monospaced font to draw a PNG with; install one, such as {MONOSPACED[1]}, or save an SVG."


def can_write_png() -> bool:
    """True if `svg_to_png` has its library. Loads nothing."""
    return find_spec("resvg_py") is not None


def svg_to_png(svg: str) -> bytes:
    """Render an SVG of the screen as a PNG of the same size. Takes about a second: call it in a thread.
    Raises UserError if the package or a font is missing."""
    if not can_write_png():
        raise UserError(f"PNG needs the package resvg-py: `{install_command('png')}` adds it; SVG needs nothing.")
    import resvg_py

    font = _monospaced_font()
    if font is None:
        raise UserError(NO_FONT)
    return bytes(resvg_py.svg_to_bytes(svg_string=svg, monospace_family=font, sans_serif_family=font, serif_family=font))


@cache
def _monospaced_font() -> str | None:
    """The first of MONOSPACED that this system has: one whose letter leaves ink."""
    import resvg_py

    def letter(attributes: str) -> bytes:
        picture = f'<svg xmlns="http://www.w3.org/2000/svg" width="20" height="20"><text y="15" {attributes}>M</text></svg>'
        return bytes(resvg_py.svg_to_bytes(svg_string=picture))

    blank = letter('visibility="hidden"')
    return next((font for font in MONOSPACED if letter(f'font-family="{font}"') != blank), None)
