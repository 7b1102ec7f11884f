"""Look: pictures of a text's statistics, samples, and texts that are hard to show."""

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len
from textual.pilot import Pilot

from lab.data.statistics.text_profile import TextProfile, read_profile, read_sample
from lab.views.blocks import Cell, Column, Table
from screens.app import LabApp
from screens.data import look_page
from screens.data.look_layout import LookPicture, cropped, in_columns, lay_profile, resampled
from screens.data.look_page import LookPage, LookView
from screens.widgets.top_bars import PageBar
from tests.screens.data.conftest import screen_of


def page_of(pilot: Pilot[None]) -> LookPage:
    return screen_of(pilot).query_one(LookPage)


def is_complete(pilot: Pilot[None]) -> bool:
    found = screen_of(pilot).query(LookPage)
    return bool(found) and (profile := found.first().profile) is not None and profile.statistics.is_complete


def shown(pilot: Pilot[None]) -> str:
    view = page_of(pilot).query_one(LookView)
    return "\n".join(view.render_line(y).text for y in range(view.window))


async def choose(pilot: Pilot[None], until: Any, source: str) -> None:
    """Choose a text, after the one under the cursor has been read."""
    screen = screen_of(pilot)
    await until(pilot, lambda: screen.text is not None)
    screen.choose_page.choose(source)
    await until(pilot, lambda: screen.text is not None and screen.text.source == source)


async def open_look(pilot: Pilot[None], until: Any, source: str) -> None:
    await choose(pilot, until, source)
    await pilot.press("]")
    await until(pilot, lambda: is_complete(pilot))


def profile_of(tmp_path: Path, text: str) -> TextProfile:
    path = tmp_path / "text.txt"
    path.write_text(text)
    *_, last = read_profile(str(path), None, lambda progress: False)
    return last


def words(picture: LookPicture) -> str:
    return "\n".join("".join(text for text, _ in line) for line in picture.lines)


async def test_statistics_samples_and_clicks(app: LabApp, until: Any, tmp_path: Path) -> None:
    passage = "It was the best of times, it was the worst of times, it was the age of wisdom.\n"
    text = "".join(f"This is line {number} of the story.\n" for number in range(300))
    path = tmp_path / "tale.txt"
    path.write_bytes((passage.replace("\n", "\r\n") + text + passage.replace("\n", "\r\n")).encode())
    async with app.run_test(size=(80, 24)) as pilot:
        await open_look(pilot, until, str(path))
        page, view = page_of(pilot), page_of(pilot).query_one(LookView)
        assert app.focused is view
        for part in ("size", "Latin", "most common words", "English", f"{len(passage + text + passage) + 2:,}"):
            assert part in words(page._picture), part
        total = len(passage + text + passage)
        line = page._picture.map_lines.start
        cell = page._picture.map_cells.stop - 1
        await pilot.click(view, offset=(cell + 2, line + 1))  # border and padding
        await until(pilot, lambda: page.sample is not None)
        assert page.sample is not None
        assert page.sample.start == int((len(page._picture.map_cells) - 1) / len(page._picture.map_cells) * total)
        assert page.sample.text == (passage + text + passage)[page.sample.start :]
        assert "from character" in shown(pilot)
        await pilot.press("escape")
        assert page.sample is None
        await pilot.press("space")
        await until(pilot, lambda: page.sample is not None)
        first = page.sample
        await pilot.press("space")
        await until(pilot, lambda: page.sample is not first)
        assert page.sample is not None
        assert page.sample.start != first.start
        await app.run_action("sample(-1)", page)
        await until(pilot, lambda: page.sample == first)
        await pilot.press("escape")
        assert page.cleaning == ()
        assert "2 \\r\\n" in words(page._picture)
        await pilot.press("v")
        await until(pilot, lambda: is_complete(pilot))
        assert page.cleaning == ("line-endings",)
        assert "\\n at all 302 ends" in words(page._picture)
        assert "cleaned by line-endings" in str(view.border_title)
        await pilot.press("pagedown")
        assert view.top == view.window - 1
        await pilot.press("end")
        assert "It was the best of times" in shown(pilot)
        assert "longest repeated passages" in words(page._picture)


async def test_a_long_text_is_drawn_on_the_way_and_left_when_the_page_is(
    app: LabApp, until: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "text.txt"
    path.write_text("The big dog ran fast and it did not stop.\n" * 40)
    go_on = threading.Event()
    stopped = threading.Event()

    def slow(source: str, encoding: str | None, check: Any, cleaning: Any) -> Any:
        whole = profile_of(tmp_path, path.read_text())
        part = whole.statistics
        from dataclasses import replace

        yield replace(whole, statistics=replace(part, is_complete=False, progress=0.4, stage="reading", repeats=None))
        go_on.wait(10)
        try:
            check(0.5)
        except asyncio.CancelledError:
            stopped.set()
            raise
        yield whole

    monkeypatch.setattr(look_page, "read_profile", slow)
    async with app.run_test(size=(80, 24)) as pilot:
        await choose(pilot, until, str(path))
        await pilot.press("]")
        await until(pilot, lambda: screen_of(pilot).query(LookPage) and page_of(pilot).profile is not None)
        assert "40%" in str(page_of(pilot).query_one(LookView).border_title)
        assert "mapped once all of the text has been read" in shown(pilot)
        await pilot.press("[")
        go_on.set()
        await until(pilot, stopped.is_set)
        assert not is_complete(pilot)
        await pilot.press("]")
        await until(pilot, lambda: is_complete(pilot))


def test_every_line_fits_and_hides_no_character(tmp_path: Path) -> None:
    text = ("שלום עולם \u202eabc\u200b 中文字符 👩\u200d💻 e\u0301\x1b[31m" + "x" * 500 + "\n") * 3 + "Line\r\n" * 5
    profile = profile_of(tmp_path, text)
    for width in (20, 36, 74, 114, 194):
        picture = lay_profile(profile, width)
        said = words(picture)
        assert max(map(cell_len, said.split("\n"))) <= width
        assert not {"\u202e", "\x1b"} & set(said)
        assert "U+202E" in said
        assert "mixed: " in said


def test_shares_are_averaged_where_many_fall_on_a_cell() -> None:
    assert resampled([0, 1, 1, 0], 2) == [0.5, 0.5]
    assert resampled([0.25, 1], 4) == [0.25, 0.25, 1, 1]


def test_panels_fill_the_shortest_column() -> None:
    def table(name: str, rows: int) -> Table:
        return Table([Column("name", "left")], [[Cell(f"{name}{row}")] for row in range(rows)], title=name)

    lines = [
        "".join(text for text, _ in line).rstrip() for line in in_columns([table("a", 1), table("b", 4), table("c", 1)], 2, 10)
    ]
    assert lines[0].split() == ["a", "b"]
    assert lines[4].split()[0] == "c"
    assert cropped([("abc", "x"), ("defg", "y")], 5) == [("abc", "x"), ("d", "y"), ("…", "dim")]


def test_picture(app: LabApp, until: Any, snap_compare: Any) -> None:
    async def go(pilot: Pilot[None]) -> None:
        await open_look(pilot, until, "stories:50kb")
        await until(pilot, lambda: app.screen.query_one(PageBar).steps[2].endswith(" bpe"))

    assert snap_compare(app, terminal_size=(120, 40), run_before=go)


async def test_a_sample_that_is_read_late_does_not_replace_the_view_after_it(app: LabApp, until: Any, late_answer: Any) -> None:
    web = Path("web.txt").absolute()
    web.write_text("".join(f"The dog ran to {number}.\n" for number in range(2000)))
    async with app.run_test(size=(80, 24)) as pilot:
        await open_look(pilot, until, str(web))
        page = page_of(pilot)
        of_text = "web · as it lies in its files"
        for keys, title in ((["space"], "random sample 3 · esc back"), (["escape"], of_text), (["v", "v"], of_text)):
            await pilot.press("space")
            await until(pilot, lambda: page.sample is not None)
            late = late_answer("screens.data.look_page.read_sample", lambda *asked: True, read_sample)
            await pilot.press("space")
            await until(pilot, late.asked.is_set)
            await pilot.press(*keys)
            await until(pilot, lambda title=title: page._title() == title)
            await late.come(pilot)
            assert page._title() == title
