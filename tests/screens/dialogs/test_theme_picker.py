"""Themes: which are legible, the picker with its live preview, and the choice that is kept."""

from pathlib import Path
from typing import Any

import pytest
from rich.color import ColorSystem
from textual.color import Color
from textual.theme import BUILTIN_THEMES
from textual.widgets import OptionList

from lab.core.preferences import preferences_path, read_preferences, write_preferences
from screens.app import LabApp
from screens.command_palette import LabCommands
from screens.dialogs.theme_picker import (
    INKS,
    SECONDARY,
    ThemePicker,
    adjusted,
    contrast,
    has_contrast,
    offered_themes,
    variables_of,
)
from tests.fixture_types import Until
from tests.screens.pilot_waits import press

pytestmark = pytest.mark.usefixtures("fixed_machine")


@pytest.mark.parametrize(
    ("ink", "opacity", "paper", "ratio"),
    [
        ("#000000", 1.0, "#ffffff", 21.0),
        ("#777777", 1.0, "#ffffff", 4.48),
        ("#0000ff", 1.0, "#ffffff", 8.59),
        ("#ff0000", 1.0, "#000000", 5.25),
        ("#000000", 0.5, "#ffffff", 3.95),  # as #808080
    ],
)
def test_contrast_is_that_of_the_web_guidelines(ink: str, opacity: float, paper: str, ratio: float) -> None:
    """Against published values of WCAG's formula."""
    assert contrast({"ink": ink, "paper": paper}, "ink", opacity, "paper") == pytest.approx(
        ratio, abs=0.005 if opacity == 1 else 0.06
    )
    assert opacity < 1 or contrast({"ink": paper, "paper": ink}, "ink", 1.0, "paper") == pytest.approx(ratio, abs=0.005)


def test_the_lab_s_own_theme_is_as_it_was_made_and_others_lack_contrast() -> None:
    variables = variables_of(BUILTIN_THEMES["tokyo-night"])
    assert adjusted(variables) == variables
    assert has_contrast(BUILTIN_THEMES["tokyo-night"])
    colours = adjusted(variables_of(BUILTIN_THEMES["solarized-dark"]))
    assert contrast(colours, "foreground", 1.0, "surface") == pytest.approx(4.1, abs=0.05)
    assert not has_contrast(BUILTIN_THEMES["solarized-dark"])


def test_a_light_theme_gets_keys_and_accents_that_can_be_read() -> None:
    variables = variables_of(BUILTIN_THEMES["textual-light"])
    assert contrast(variables, "accent", 1.0, "background") < 2
    legible = adjusted(variables)
    assert contrast(legible, "accent", 1.0, "background") >= SECONDARY
    assert contrast(legible, "footer-key-foreground", 1.0, "panel") >= SECONDARY
    changed = {name for name in variables if variables[name] != legible[name]}
    assert changed <= {"accent", "warning", "success", "error", "footer-key-foreground"}


async def test_on_256_colours_papers_are_greys_and_the_lab_s_own_theme_is_legible_and_in_use(
    app: LabApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rounded to those colours, the dark blues of its papers were black, bright blue and a grey too light for its inks."""
    theme = BUILTIN_THEMES["tokyo-night"]
    variables = variables_of(theme, is_256=True)
    for name in ("background", "surface", "panel", "footer-background"):
        colour = Color.parse(variables[name])
        assert colour.r == colour.g == colour.b
        number = colour.rich_color.downgrade(ColorSystem.EIGHT_BIT).number
        assert (number or 0) >= 232, "one of xterm's 24 greys"
    assert has_contrast(theme, is_256=True)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("COLORTERM")
    app = LabApp(preload=False)
    async with app.run_test(size=(80, 24)) as pilot:
        assert app.theme_variables["panel"] == variables["panel"]
        await pilot.press("ctrl+t")
        assert offered_themes(app)[app.screen.query_one(OptionList).highlighted or 0] == app.theme == "tokyo-night"


@pytest.fixture
def app(home: Path) -> LabApp:
    return LabApp(preload=False)


async def test_the_cursor_previews_escape_goes_back_enter_keeps_and_the_next_lab_begins_with_it(
    app: LabApp, home: Path, until: Until
) -> None:
    async with app.run_test(size=(80, 24)) as pilot:
        offered = offered_themes(app)
        assert offered[0] == "tokyo-night"
        assert {"textual-light", "textual-dark", "nord", "ansi-dark"} <= set(offered)
        assert not {"solarized-dark", "solarized-light", "atom-one-dark"} & set(offered)
        for name in offered:
            theme = BUILTIN_THEMES[name]
            if not theme.ansi:
                colours = adjusted(variables_of(theme))
                assert all(contrast(colours, ink, opacity, paper) >= least for ink, opacity, paper, least in INKS), name
        second = offered[1]
        await press(pilot, "2")
        await press(pilot, "1", "ctrl+t", "down")
        await until(pilot, lambda: app.theme == second)
        await pilot.press("escape")
        await until(pilot, lambda: app.theme == "tokyo-night")
        assert not isinstance(app.screen, ThemePicker)
        await pilot.press("ctrl+t", "j")
        await until(pilot, lambda: app.theme == second)
        assert not preferences_path(home).exists(), "a preview keeps nothing"
        await press(pilot, "enter")
        assert app.theme == second
        assert not isinstance(app.screen, ThemePicker)
        await until(pilot, lambda: read_preferences(home)[0].theme == second)
        await press(pilot, "2")
        assert app.current_mode == "data"
        assert app.screen.styles.background == Color.parse(app.theme_variables["background"]), "drawn anew, as it was hidden"
    again = LabApp(preload=False)
    assert again.theme == second
    assert again.stylesheet._variables["background"] == again.theme_variables["background"]
    async with again.run_test(size=(80, 24)):
        paper = Color.parse(variables_of(BUILTIN_THEMES[second])["background"])
        assert again.screen.styles.background == paper, "the first paint has its colours"


@pytest.mark.parametrize("setting", [{"NO_COLOR": "1"}, {"TERM": "xterm-16color", "COLORTERM": ""}])
async def test_without_colours_of_its_own_a_terminal_keeps_its_theme_and_without_any_a_highlighted_line_is_underlined(
    home: Path, monkeypatch: pytest.MonkeyPatch, setting: dict[str, str]
) -> None:
    for name, value in setting.items():
        monkeypatch.setenv(name, value)
    write_preferences(home, theme="nord")
    app = LabApp(preload=False)
    async with app.run_test(size=(80, 24)) as pilot:
        assert app.theme == "ansi-dark"
        assert offered_themes(app) == ["ansi-dark", "ansi-light"]
        await press(pilot, "ctrl+t")
        shown = app.screen.query_one(OptionList)
        underlined = [any(piece.style and piece.style.underline for piece in shown.render_line(y)) for y in range(2)]
        assert underlined == ["NO_COLOR" in setting, False]
    assert read_preferences(home)[0].theme == "nord"


async def test_preferences_that_are_unknown_illegible_or_damaged_give_way_to_the_lab_s_own(home: Path) -> None:
    for name in ("no-such-theme", "solarized-light"):
        write_preferences(home, theme=name)
        assert LabApp(preload=False).theme == "tokyo-night"
    preferences_path(home).write_text("nonsense")
    app = LabApp(preload=False)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        assert app.theme == "tokyo-night"
        assert [each for each in notices(app) if each.startswith("Your preferences are not used")]


async def test_the_palette_has_theme_and_speed_and_a_disk_that_cannot_be_written_is_said_once(
    app: LabApp, until: Any, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = []

    def refused(*_: object) -> None:
        tried.append(1)
        raise OSError(30, "Read-only file system")

    async with app.run_test(size=(80, 24)) as pilot:
        found = {command.words: command.callback for command in LabCommands(app.screen)._commands()}
        assert "Choose the theme: the lab's colours" in found
        assert {words for words in found if words.startswith("Animation")} == {
            f"Animation: {each}" for each in ("off", "slow", "fast")
        }
        found["Animation: off"]()
        await until(pilot, lambda: read_preferences(home)[0].animation == "off")
        monkeypatch.setattr("lab.core.preferences.write_atomic", refused)
        for speed in ("slow", "fast"):
            app.change_preferences(animation=speed)
        await until(pilot, lambda: len(tried) == 2 and notices(app))
        assert app.preferences.animation == "fast", "the choice holds for this session"
        assert len(notices(app)) == 1
        assert "read-only file system" in notices(app)[0]


def notices(app: LabApp) -> list[str]:
    return [str(each.message) for each in app._notifications]
