"""The recording of the README: screenshots as one animated SVG, without a screen."""

import io
import re
from pathlib import Path
from xml.etree import ElementTree

from rich.console import Console
from rich.text import Text

from tests.e2e.animated_svg import COLUMN, ROW, SVG, Frame, animated_svg
from tests.e2e.record_tour import AFTER_TRAINING, LARGEST, TOUR

COLUMNS, LINES = 20, 3
ROOT = Path(__file__).parents[2]
TOUR_FILE = ROOT / "screens" / "tour.svg"


def screenshot(*lines: Text) -> str:
    console = Console(width=COLUMNS, file=io.StringIO(), record=True, force_terminal=True, color_system="truecolor")
    for line in lines:
        console.print(line, end="\n")
    return console.export_svg(title="llmlab")


def test_words_stand_at_the_columns_of_their_cells_and_blocks_and_backgrounds_are_rectangles_in_their_colours() -> None:
    blocks = Text.assemble(("▀▀", "#ff0000 on #0000ff"), ("▌", "#00ff00"), ("▃", "#00ff00"))
    shown = screenshot(blocks, Text.assemble("ab ", ("cd <&>", "#ff0000 bold")))
    root = ElementTree.fromstring(animated_svg([Frame(shown, 1.0)], COLUMNS, LINES, "A <tour>"))
    words = {text.text: text for text in root.iter(f"{SVG}text") if text.get("textLength")}
    assert set(words) == {"ab", "cd <&>"}
    assert (words["cd <&>"].get("x"), words["cd <&>"].get("textLength")) == (str(3 * COLUMN), str(6 * COLUMN))
    css = next(root.iter(f"{SVG}style")).text or ""
    assert f".{words['cd <&>'].get('class')}{{fill:#ff0000;font-weight:bold}}" in css
    drawn = {(path.get("fill"), path.get("d")) for path in root.iter(f"{SVG}path") if path.get("fill")}
    half = ROW / 2
    assert ("#0000ff", f"M0,0h{2 * COLUMN}v{ROW}h-{2 * COLUMN}z") in drawn
    assert ("#ff0000", f"M0,0h{2 * COLUMN}v{half:g}h-{2 * COLUMN}z") in drawn
    assert ("#00ff00", f"M{2 * COLUMN},0h4v{ROW}h-4z") in drawn
    assert ("#00ff00", f"M{3 * COLUMN},{5 * ROW / 8:g}h{COLUMN}v{3 * ROW / 8:g}h-{COLUMN}z") in drawn


def test_each_frame_is_shown_as_long_as_it_says_and_equal_rows_are_drawn_once() -> None:
    one, other = screenshot(Text("same"), Text("first")), screenshot(Text("same"), Text("second"))
    source = animated_svg([Frame(one, 1.0, "j", "step"), Frame(other, 3.0)], COLUMNS, LINES, "t")
    assert ".reel{animation:reel 4.00s step-end infinite}" in source
    tall = int(re.findall(r'viewBox="0 0 \d+ (\d+)"', source)[0])
    assert f"@keyframes reel{{0.000%{{transform:translateY(0px)}}25.000%{{transform:translateY({-tall}px)}}}}" in source
    assert source.count(">same<") == source.count(">first<") == source.count(">second<") == 1
    assert "prefers-reduced-motion" in source


def test_the_recording_of_the_readme_is_small_fetches_nothing_and_shows_no_path_of_the_machine() -> None:
    source = TOUR_FILE.read_text(encoding="utf-8")
    assert len(source.encode()) <= LARGEST
    root = ElementTree.fromstring(source)
    assert not re.search(r"(?:href|src)=\"(?!#)|url\(|@import|<script", source)
    assert {element.tag.removeprefix(SVG) for element in root.iter()} <= {
        "svg", "title", "style", "rect", "defs", "g", "use", "path", "text", "tspan",
    }  # fmt: skip
    for scene in (*TOUR, *AFTER_TRAINING):
        assert scene.words in source
    assert not [private for private in (str(ROOT), "/home/", "/root/") if private in source]
