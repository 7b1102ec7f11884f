"""Screenshots as PNG."""

import struct
import zlib

import pytest

from lab.core.errors import UserError
from lab.exchange import export_files
from lab.exchange.export_files import can_write_png, svg_to_png

SVG = (
    '<svg xmlns="http://www.w3.org/2000/svg" width="60" height="20"><rect width="60" height="20" fill="#102030"/>'
    '<text y="15" font-family="Fira Code, monospace" fill="#ffffff">{}</text></svg>'
)
needs_resvg = pytest.mark.skipif(not can_write_png(), reason="resvg-py is not installed")


def size_and_corner(png: bytes) -> tuple[int, int, bytes]:
    """Width, height and the first pixel of an RGBA picture."""
    width, height = struct.unpack(">II", png[16:24])
    data, at = b"", 8
    while at < len(png):
        length, kind = struct.unpack(">I4s", png[at : at + 8])
        data += png[at + 8 : at + 8 + length] if kind == b"IDAT" else b""
        at += 12 + length
    raw = zlib.decompress(data)
    assert len(raw) == height * (4 * width + 1)
    return width, height, raw[1:5]


@needs_resvg
def test_a_picture_has_the_size_of_its_svg_and_its_text() -> None:
    blank, written = svg_to_png(SVG.format("")), svg_to_png(SVG.format("▄▀ ⣿ Wm"))
    assert size_and_corner(blank) == (60, 20, b"\x10\x20\x30\xff")
    assert written != blank


@needs_resvg
def test_without_a_monospaced_font_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export_files, "MONOSPACED", ("No Such Font",))
    export_files._monospaced_font.cache_clear()
    with pytest.raises(UserError, match="no monospaced font"):
        svg_to_png(SVG.format("x"))
    export_files._monospaced_font.cache_clear()


def test_without_the_package_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export_files, "can_write_png", lambda: False)
    with pytest.raises(UserError, match=r"pip install .*\[png\]'"):
        svg_to_png(SVG.format("x"))
