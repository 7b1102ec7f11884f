"""Changed cells alone are sent, and the terminal shows what it would show had everything been sent."""

import random

import pytest
from rich.cells import get_character_cell_size
from rich.color import ColorSystem
from rich.console import Console
from rich.segment import Segment
from rich.style import Style
from textual._compositor import ChopsUpdate, LayoutUpdate
from textual.geometry import Region
from textual.strip import Strip

from screens.terminal.terminal_cells import DEFAULT, change_of_pen, pens_of
from screens.terminal.textual_internals import adapt_textual
from tests.e2e.screen_grid import ScreenGrid

STYLES = [
    Style(),
    *(Style.parse(words) for words in ("red", "bold #102030 on #a0b0c0", "underline on blue", "reverse", "dim italic #ffffff")),
]
WORDS = ["attention", " ", "  ", "日本", "▀▀▄", "é", "0.25", "🙂", "──"]


@pytest.fixture
def console() -> Console:
    adapt_textual()
    return Console(color_system="truecolor", force_terminal=True)


def strip(rng: random.Random, width: int) -> Strip:
    made = Strip([Segment(rng.choice(WORDS), rng.choice(STYLES)) for _ in range(width)])
    return made.crop(0, width).adjust_cell_length(width, STYLES[1])


def layout(strips: list[Strip]) -> LayoutUpdate:
    width = strips[0].cell_length
    return LayoutUpdate([[each.crop(0, width // 2), each.crop(width // 2)] for each in strips], Region(0, 0, width, len(strips)))


def chops(strips: list[Strip], lines: list[int]) -> ChopsUpdate:
    """Lines in two parts, as of two widgets side by side."""
    width = strips[0].cell_length
    half = width // 2
    parts = [{0: each.crop(0, half), half: each.crop(half)} for each in strips]
    return ChopsUpdate(parts, [(y, 0, width) for y in lines], [[half, width]] * len(strips))


def styled(grid: ScreenGrid) -> list[list[tuple[str, str]]]:
    """Each cell as it looks: a blank has no ink."""
    return [[(letter, style if letter.strip() else _seen_on_blank(style)) for letter, style in line] for line in grid.lines()]


def _seen_on_blank(style: str) -> str:
    codes = style.split(";")
    if set(codes) & {"4", "7"}:
        return style
    return ";".join(code for code in codes if code.startswith("4") and code != "4")


@pytest.mark.parametrize("seed", range(30))
def test_a_terminal_shows_all_cells_though_only_changed_ones_are_sent(seed: int, console: Console) -> None:
    rng = random.Random(seed)
    width, height = rng.choice([8, 21, 40]), 6
    strips = [strip(rng, width) for _ in range(height)]
    terminal = ScreenGrid()
    terminal.feed(layout(strips).render_segments(console).encode())
    for _ in range(12):
        changed = sorted(rng.sample(range(height), 3))
        for y in changed:
            at = rng.randrange(width)
            new = Strip.join([strips[y].crop(0, at), strip(rng, width).crop(at)]).adjust_cell_length(width, STYLES[1])
            strips[y] = rng.choice([new, strips[y], strip(rng, width)])
        terminal.feed(chops(strips, changed).render_segments(console).encode())
        whole = ScreenGrid()
        whole.feed(layout(strips).render_segments(Console(color_system="truecolor", force_terminal=True)).encode())
        assert styled(terminal) == styled(whole)
    assert len(whole.text()) > height


def test_what_is_there_already_is_not_sent(console: Console) -> None:
    lines = [Strip([Segment("the attention pattern ", STYLES[1]), Segment("0.25", STYLES[2])]) for _ in range(3)]
    layout(lines).render_segments(console)
    assert chops(lines, [0, 1, 2]).render_segments(console) == ""
    lines[1] = Strip([Segment("the attention pattern ", STYLES[1]), Segment("0.26", STYLES[2])])
    sent = chops(lines, [0, 1, 2]).render_segments(console)
    assert sent.startswith("\x1b[2;26H")
    assert sent.endswith("6\x1b[0m")
    assert "attention" not in sent
    assert "attention" in layout(lines).render_segments(console), "a new layout draws everything"


@pytest.mark.parametrize("narrow", ["", "🙂", "🙂日本"])
@pytest.mark.parametrize("seed", range(6))
def test_after_a_change_all_is_at_its_place_whatever_the_terminal_takes_for_wide(
    seed: int, narrow: str, console: Console
) -> None:
    """Terminals, tmux and Rich follow different versions of Unicode."""
    rng, width = random.Random(seed), 30
    grid = ScreenGrid(lambda letter: 1 if letter in narrow else get_character_cell_size(letter))
    strips = [strip(rng, width) for _ in range(5)]
    grid.feed(layout(strips).render_segments(console).encode())
    for _ in range(8):
        strips = [rng.choice([each, strip(rng, width)]) for each in strips]
        grid.feed(chops(strips, list(range(5))).render_segments(console).encode())
        for y, line in enumerate(strips):
            drawn, at = grid.lines()[y], 0
            for letter in line.crop(0, width // 2).text + line.crop(width // 2).text:
                assert drawn[at][0] == letter
                at += get_character_cell_size(letter)


@pytest.mark.parametrize("text", ["e\u0301a", "\U0001f1e9\U0001f1ea a", "\u0915\u093e a"], ids=["accent", "flag", "vowel sign"])
def test_characters_that_join_and_links_are_sent_whole(text: str, console: Console) -> None:
    for line in (Strip([Segment(text, STYLES[0])]), Strip([Segment("abc", Style(link="https://example.org"))])):
        layout([line]).render_segments(console)
        assert chops([line], [0]).render_segments(console)


def test_a_change_of_pen_takes_back_what_the_new_one_lacks() -> None:
    plain, red, bold = (pens_of(each, ColorSystem.TRUECOLOR)[0] for each in STYLES[:3])
    assert change_of_pen(DEFAULT, plain) == ""
    assert change_of_pen(plain, red) == "\x1b[31m"
    assert change_of_pen(red, plain) == "\x1b[39m"
    assert change_of_pen(bold, red) == "\x1b[0;31m"
    assert change_of_pen(red, bold) == "\x1b[1;38;2;16;32;48;48;2;160;176;192m"


def test_control_characters_are_never_sent(console: Console) -> None:
    line = Strip([Segment("a\x1b]0;owned\x07b", STYLES[0])])
    sent = layout([line]).render_segments(console)
    assert "\x1b]" not in sent
    assert "\x07" not in sent
