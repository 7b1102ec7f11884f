"""A picture of the screen as PNG, rendered from its SVG by resvg, where the optional package `resvg-py` is installed."""

from functools import cache
from importlib.util import find_spec

from lab.core.errors import UserError

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

NOT_INSTALLED = "PNG needs the package resvg-py: pip install 'llmlab[png]' adds it; SVG needs nothing."
NO_FONT = f"There is no monospaced font to draw a PNG with; install one, such as {MONOSPACED[1]}, or save an SVG."


def can_write_png() -> bool:
    """True if `svg_to_png` has its library. Loads nothing."""
    return find_spec("resvg_py") is not None


def svg_to_png(svg: str) -> bytes:
    """Render an SVG of the screen as a PNG of the same size. Takes about a second: call it in a thread.

    Raises:
        UserError: if the package or a font is missing.
    """
    if not can_write_png():
        raise UserError(NOT_INSTALLED)
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
