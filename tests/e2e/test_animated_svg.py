"""The recording of the README: screenshots as one animated SVG, without a screen."""

import re
from pathlib import Path
from xml.etree import ElementTree

from tests.e2e.animated_svg import SVG
from tests.e2e.record_tour import AFTER_TRAINING, LARGEST, TOUR

ROOT = Path(__file__).parents[2]
TOUR_FILE = ROOT / "screens" / "tour.svg"


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
