"""Screenshots of the app as one animated SVG: frames below each other on a reel, which CSS moves past a window.

Text is drawn as text and block characters as rectangles, so that colours meet without gaps in any font. A row that several frames
have in common is drawn once.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from xml.etree import ElementTree
from xml.sax.saxutils import escape

CELL, LINE = 12.2, 24.4
"""Size of a cell in the screenshots of Rich."""
COLUMN, ROW = 8, 17
"""Size of a cell here."""
FONT = 13
CAPTION = 34
"""Height of the line below the screen, which says the key."""
PAPER, INK, DIM, KEY = "#1a1b26", "#c0caf5", "#9aa5ce", "#ff9e64"

BLOCKS = {
    "▀": (0, 0, 8, 4), "▄": (0, 4, 8, 4), "█": (0, 0, 8, 8), "▌": (0, 0, 4, 8), "▐": (4, 0, 4, 8),
    **{chr(0x2580 + eighths): (0, 8 - eighths, 8, eighths) for eighths in range(1, 8)},
    **{chr(0x2590 - eighths): (0, 0, eighths, 8) for eighths in range(1, 8)},
}  # fmt: skip
"""Block characters: left, top, width and height in eighths of a cell."""

FULL_WIDTH_RUN = re.compile(r"([▀-█])\1*|.")
"""Equal block characters that reach from side to side are one rectangle."""

SVG = "{http://www.w3.org/2000/svg}"


@dataclass(frozen=True)
class Frame:
    """A screenshot by `App.export_screenshot`, the seconds it is shown, and what to say below it."""

    screenshot: str
    seconds: float
    keys: str = ""
    words: str = ""


class Sheet:
    """The rows of all frames, each drawn once, and the styles of their text."""

    def __init__(self) -> None:
        self.rows: dict[str, str] = {}
        self.styles: dict[str, str] = {}

    def row(self, drawn: str) -> str:
        """The name of a row's drawing."""
        return self.rows.setdefault(drawn, f"r{len(self.rows)}")

    def style(self, css: str) -> str:
        return self.styles.setdefault(css, f"s{len(self.styles)}")


def animated_svg(frames: Sequence[Frame], columns: int, lines: int, title: str) -> str:
    """One SVG of all frames; it repeats for ever, and stands still where the reader prefers reduced motion."""
    sheet = Sheet()
    width, height = columns * COLUMN, lines * ROW
    tall = height + CAPTION
    total = sum(frame.seconds for frame in frames)
    reel, stops, passed = [], [], 0.0
    for index, frame in enumerate(frames):
        rows = enumerate(drawn_rows(frame.screenshot, lines, sheet))
        uses = [f'<use href="#{sheet.row(row)}" y="{line * ROW}"/>' for line, row in rows if row]
        reel.append(f'<g transform="translate(0,{index * tall})">{"".join(uses)}{_caption(frame, width, height)}</g>')
        stops.append(f"{100 * passed / total:.3f}%{{transform:translateY({-index * tall}px)}}")
        passed += frame.seconds
    styles = "".join(f".{name}{{{css}}}" for css, name in sheet.styles.items())
    drawings = "".join(f'<g id="{name}">{row}</g>' for row, name in sheet.rows.items())
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {tall}" width="{width}" height="{tall}" role="img">'
        f"<title>{escape(title)}</title><style>"
        f"text{{font:{FONT}px ui-monospace,Menlo,Consolas,'DejaVu Sans Mono',monospace;white-space:pre;fill:{INK}}}"
        f"{styles}.k{{fill:{KEY};font-weight:bold}}.w{{fill:{DIM}}}"
        f".reel{{animation:reel {total:.2f}s step-end infinite}}@keyframes reel{{{''.join(stops)}}}"
        "@media (prefers-reduced-motion:reduce){.reel{animation:none}}</style>"
        f'<rect width="{width}" height="{tall}" fill="{PAPER}" rx="6"/><defs>{drawings}</defs>'
        f'<svg width="{width}" height="{tall}"><g class="reel">{"".join(reel)}</g></svg></svg>\n'
    )


def _caption(frame: Frame, width: int, height: int) -> str:
    keys = f'<tspan class="k">{escape(frame.keys)}</tspan>  ' if frame.keys else ""
    return (
        f'<path d="M0,{height + 5}h{width}" stroke="#414868"/><text x="{COLUMN}" y="{height + 24}" class="w">{keys}'
        f"{escape(frame.words)}</text>"
    )


def drawn_rows(screenshot: str, lines: int, sheet: Sheet) -> list[str]:
    """Each line of a screenshot as SVG at the top of the picture; "" for an empty one."""
    root = ElementTree.fromstring(screenshot)
    css = "".join(style.text or "" for style in root.iter(f"{SVG}style"))
    classes = dict(re.findall(r"\.(terminal-\d+-r\d+) \{ ([^}]*?);? \}", css))
    papers: list[list[tuple[int, int, str]]] = [[] for _ in range(lines)]
    texts: list[list[str]] = [[] for _ in range(lines)]
    for rect in root.iter(f"{SVG}rect"):
        if rect.get("shape-rendering"):
            start, cells = round(float(rect.get("x", 0)) / CELL), round(float(rect.get("width", 0)) / CELL)
            line = round((float(rect.get("y", 0)) - 1.5) / LINE)
            papers[line].append((start, start + cells, rect.get("fill", PAPER)))
    for text in root.iter(f"{SVG}text"):
        style = classes.get(text.get("class", ""))
        if style is not None and text.text and text.text.strip("\n"):
            line = round((float(text.get("y", 0)) - 20) / LINE)
            start = round(float(text.get("x", 0)) / CELL)
            cells = round(float(text.get("textLength", 0)) / CELL)
            texts[line].append(_text(start, cells, text.text.replace("\xa0", " "), style, sheet))
    return [_papers(papers[line]) + "".join(texts[line]) for line in range(lines)]


def _papers(spans: list[tuple[int, int, str]]) -> str:
    """The backgrounds of a line, neighbours of one colour as one rectangle, the picture's own left out."""
    merged: list[tuple[int, int, str]] = []
    for start, end, colour in sorted(spans):
        if merged and merged[-1][1:] == (start, colour):
            merged[-1] = (merged[-1][0], end, colour)
        else:
            merged.append((start, end, colour))
    return "".join(
        _rect(start * COLUMN, 0, (end - start) * COLUMN, ROW, colour) for start, end, colour in merged if colour != PAPER
    )


def _rect(x: float, y: float, width: float, height: float, colour: str) -> str:
    return f'<path fill="{colour}" d="M{x:g},{y:g}h{width:g}v{height:g}h{-width:g}z" shape-rendering="crispEdges"/>'


def _text(start: int, cells: int, text: str, style: str, sheet: Sheet) -> str:
    """A run of text in one style: words as text of a fixed length, block characters as rectangles."""
    colour = re.search(r"fill: (#\w+)", style)
    ink = colour[1] if colour else INK
    if cells != len(text):  # wide characters: as a whole
        return _words(start, cells, text, style, sheet)
    found = []
    for match in re.finditer(r"[▀-▐]+|[^▀-▐]+", text):
        at, piece = start + match.start(), match[0]
        if piece[0] in BLOCKS:
            for same in re.finditer(FULL_WIDTH_RUN, piece):
                left, top, width, height = BLOCKS[same[0][0]]
                x, wide = (at + same.start()) * COLUMN + left, width + (len(same[0]) - 1) * COLUMN
                found.append(_rect(x, top * ROW / 8, wide, height * ROW / 8, ink))
        else:
            words = piece.strip(" ")
            if words:
                found.append(_words(at + len(piece) - len(piece.lstrip(" ")), len(words), words, style, sheet))
    return "".join(found)


def _words(start: int, cells: int, words: str, style: str, sheet: Sheet) -> str:
    css = style.replace(": ", ":").replace("; ", ";")
    return (
        f'<text class="{sheet.style(css)}" x="{start * COLUMN}" y="{ROW - 4}" textLength="{cells * COLUMN}" '
        f'lengthAdjust="spacingAndGlyphs">{escape(words)}</text>'
    )
