"""Learn in other languages, on the demo: nothing is cut off at 80x24, and no English sentence is left in translated lessons."""

import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
from rich.cells import cell_len
from textual.widgets import Markdown

from lab.core.preferences import read_preferences
from lab.core.translation import TRANSLATIONS, languages, translated
from lab.lessons.learner.predictions import read_predictions
from lab.lessons.lesson import Lesson
from lab.views.blocks import Paragraph
from screens.app import LabApp
from screens.blocks.block_view import BlockView
from screens.command_palette import LabCommands
from screens.help_screen import HelpScreen
from screens.learn.lesson_reader import LessonText, lesson_markdown
from screens.widgets.guess_view import GuessView
from screens.widgets.text_fitting import wide_breaks, wrap
from tests.lab.conftest import one_core
from tests.screens.in_process_engine import InProcessEngine
from tests.screens.learn.conftest import SilentEngine, learn_app, lessons_page
from tests.screens.pilot_waits import rows_of

__all__ = ["one_core"]
pytestmark = pytest.mark.usefixtures("one_core")
CODES = sorted(languages().keys() - {"en"})

ENGLISH = re.compile(r"\b(the|of|and|is|with|goes|more|guess|step|lesson|word|right|wrong|kept|each)\b")
"""Words of English sentences."""
DATA = ("Once", "the big", "├", "the ")
"""Beginnings of rows that are no sentence of the lab: the prompt, a phrase, tokens."""


def app_in(code: str, home: Path, monkeypatch: pytest.MonkeyPatch, engine: Any = InProcessEngine) -> LabApp:
    monkeypatch.setenv("LLMLAB_HOME", str(home))
    monkeypatch.setenv("LLMLAB_LANG", code)
    monkeypatch.setattr("lab.core.translation._in_use", "en")  # so that tests after this one are in English again
    return learn_app(engine)


def plain(markdown: str) -> str:
    """The letters of a text of Markdown."""
    return re.sub(r"\]\([^)]*\)|[\s*`\[_]", "", markdown)


@pytest.mark.parametrize("code", CODES)
async def test_each_translated_step_is_whole_at_80x24_and_says_nothing_in_english(
    code: str, tmp_path: Path, until: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = app_in(code, tmp_path, monkeypatch)
    names = {path.stem.partition("-")[2] for path in (TRANSLATIONS / code / "lessons").glob("*.md")}
    async with app.run_test(size=(80, 24)) as pilot:
        page = await lessons_page(pilot, until)
        await pilot.press("enter")
        reader, box = page.reader, page.query_one(LessonText)
        for lesson in (each for each in page.lessons if each.name in names):
            for at, step in enumerate(lesson.steps):
                reader.show(lesson, at)
                text = lesson_markdown(step.text, is_translated=True)
                await until(
                    pilot,
                    lambda text=text, step=step: (
                        page.query_one(Markdown).source == text
                        and (reader.live is None) == (step.live is None)
                        and page.is_settled
                    ),
                )
                await pilot.pause()
                where = (lesson.name, at)
                assert box.below == 0, where
                assert plain(text) == plain("".join(drawn_in(box))), where
                assert cell_len(str(box.border_title)) <= box.size.width - 2, where
                assert cell_len(str(box.border_subtitle)) <= box.size.width - 2, where
                if page.query(GuessView):
                    await pilot.press("enter")
                    await until(pilot, lambda: page.is_settled and page.query_one(GuessView).state.score)
                await pilot.pause()
                views = [view.view for view in page.query(BlockView) if view.view is not None]
                passages = "".join(block.text for view in views for block in view.blocks if isinstance(block, Paragraph))
                rows = [row.strip("║│╭╰╮╯┃ ") for row in rows_of(pilot)]
                said = [row for row in rows if not row.startswith(DATA) and (row[-12:] not in passages or "。" in row)]
                left = [row for row in said if ENGLISH.search(re.sub("“[^”]*”|„[^“]*“", "", row))]
                assert not left, (where, left)
                assert all(cell_len(row) == 80 for row in rows_of(pilot)), "wide characters stand in two cells"


def drawn_in(box: LessonText) -> list[str]:
    return [line.text for part in box.query("MarkdownBlock") for line in part.render_lines(part.size.region)]


async def test_a_language_is_chosen_in_the_palette_kept_and_shown_at_once_and_a_guess_counts_once_in_all(
    tmp_path: Path, until: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = app_in("", tmp_path, monkeypatch)
    async with app.run_test(size=(80, 24)) as pilot:
        page = await lessons_page(pilot, until)
        await pilot.press("enter")

        def asks(question: str) -> bool:
            guesses = page.query(GuessView)
            return bool(guesses) and guesses.first().is_open and guesses.first().state.question.question.startswith(question)

        page._open("tokens", 3)
        await until(pilot, lambda: asks("In GPT-2's tokens"))
        await pilot.press("enter")
        await until(pilot, lambda: read_predictions(tmp_path)[0])
        provider = LabCommands(app.screen)
        german = next(each for each in provider._commands() if each.words == "Language: Deutsch")
        assert [each.words for each in provider._commands() if each.words.startswith("Language")] == [
            "Language: Deutsch",
            "Language: 中文",
        ]
        german.callback()
        await until(pilot, lambda: asks("Haben „running“"))
        assert str(page.list.border_title).startswith("Lektionen")
        rows = rows_of(pilot)
        assert "Hilfe" in rows[-1]
        assert "meine Notizen" in rows[1]
        await pilot.press("enter")
        await until(pilot, lambda: len(read_predictions(tmp_path)[0]) == 2)
        first, second = read_predictions(tmp_path)[0]
        assert first.identity == second.identity != ""
        await until(pilot, lambda: read_preferences(tmp_path)[0].language == "de")
        assert [each.words for each in provider._commands() if "English" in each.words] == ["Sprache: English"]
    assert translated("guess") == "Tipp"
    again = app_in("", tmp_path, monkeypatch, SilentEngine)
    async with again.run_test(size=(80, 24)) as pilot:
        page = await lessons_page(pilot, until)
        assert str(page.list.border_title).startswith("Lektionen")
    assert app_in("en", tmp_path, monkeypatch, SilentEngine).language == "en", "the environment comes first"


SAID = {
    "de": ("offen: ", "space: Lektion 4", "tippen, um eine Taste zu finden", "Learn: Tasten"),
    "zh": ("还剩：", "space 打开第 4 课", "输入文字查找按键", "Learn：按键"),
    "en": ("left: ", "space opens lesson 4", "type to find a key", "Learn: keys"),
}
"""In each language words of the frame at a lesson's last step, and of the help."""


async def test_after_a_switch_nothing_of_the_language_before_is_left_and_the_frame_is_not_cut_off(
    tmp_path: Path, until: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = app_in("", tmp_path, monkeypatch, SilentEngine)
    async with app.run_test(size=(80, 24)) as pilot:
        page = await lessons_page(pilot, until)
        await pilot.press("enter")
        page._open("tokens", 99)
        await until(pilot, lambda: page.is_settled and page.reader.left)
        box = page.query_one(LessonText)
        for code in (*SAID, "de", "en"):
            left, opens, field, keys = SAID[code]
            app.change_preferences(language=code)
            await until(pilot, lambda left=left, opens=opens: all(each in str(box.border_subtitle) for each in (left, opens)))
            await until(pilot, lambda opens=opens: any(opens in row for row in rows_of(pilot)))
            await pilot.press("question_mark")
            await until(pilot, lambda keys=keys, field=field: all(any(w in r for r in rows_of(pilot)) for w in (keys, field)))
            await pilot.press("escape")
            await until(pilot, lambda: app.screen is page.screen)


async def test_the_kept_language_is_chosen_where_the_environment_asked_for_another(
    tmp_path: Path, until: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = app_in("en", tmp_path, monkeypatch, SilentEngine)
    async with app.run_test(size=(80, 24)) as pilot:
        app.set_reactive(LabApp.preferences, msgspec.structs.replace(app.preferences, language="de"))
        app.choose_language("de")
        await until(pilot, lambda: any("Hilfe" in row for row in rows_of(pilot)))
        assert app.language == app.preferences.language == "de"


@pytest.mark.parametrize("code", CODES)
async def test_the_words_before_a_paragraph_are_those_of_its_lesson(
    code: str, tmp_path: Path, until: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = app_in(code, tmp_path, monkeypatch, SilentEngine)
    async with app.run_test(size=(80, 24)) as pilot:
        page = await lessons_page(pilot, until)
        await pilot.press("enter")
        last = [(each, at) for each in page.lessons for at, step in enumerate(each.steps) if "**Remember:**" in step.text]
        for lesson, at in last:
            page.reader.show(lesson, at)
            said = translated("Remember:") if (TRANSLATIONS / code / "lessons" / lesson_file(lesson)).is_file() else "Remember:"
            await until(pilot, lambda said=said, at=at: f"**{said}**" in page.query_one(Markdown).source)
            await until(pilot, lambda: not page.reader._is_laying_out)
            other = {translated("Remember:"), "Remember:"} - {said}
            assert not any(f"**{each}**" in page.query_one(Markdown).source for each in other), lesson.name


def lesson_file(lesson: Lesson) -> str:
    return f"{lesson.number:02}-{lesson.name}.md"


MODES = {"2": "data", "3": "tokens", "4": "train", "5": "inspect", "1": "home", "6": "learn"}


CUT = re.compile(r"[a-zäöüß]…|\w… {0,2}(?:[│┃║]|$)")
"""The end of what is cut off; words on what is under way have a space before it, or in Chinese room behind it."""


async def modes_and_helps(app: LabApp, until: Any) -> dict[str, tuple[list[str], list[str]]]:
    """Rows of each mode, and of its help."""
    found = {}
    async with app.run_test(size=(80, 24)) as pilot:
        await lessons_page(pilot, until)
        for key, mode in MODES.items():
            await pilot.press(key)
            await until(pilot, lambda mode=mode: app.current_mode == mode and translated("help") in rows_of(pilot)[-1])
            rows = rows_of(pilot)
            await pilot.press("question_mark")
            await until(pilot, lambda: isinstance(app.screen, HelpScreen) and app.screen.query("KeyList"))
            await pilot.pause()
            found[mode] = rows, rows_of(pilot)
            await pilot.press("escape")
            await until(pilot, lambda: not isinstance(app.screen, HelpScreen))
    return found


async def test_every_mode_and_its_keys_are_in_the_language_and_no_more_is_cut_off_than_in_english(
    tmp_path: Path, until: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = {}
    for code in ("en", *CODES):
        shown[code] = await modes_and_helps(app_in(code, tmp_path, monkeypatch, SilentEngine), until)
    for code in CODES:
        for mode, (rows, keys) in shown[code].items():
            assert not [row for row in keys[6:] if ENGLISH.search(row)], (code, mode)
            cut, in_english = (sum(CUT.search(row) is not None for row in each) for each in (rows, shown["en"][mode][0]))
            assert cut <= in_english, "\n".join(rows)


@pytest.mark.parametrize(
    ("text", "width", "lines"),
    [
        ("模型只会计算数字。", 10, ["模型只会计", "算数字。"]),
        ("模型只会计算。", 12, ["模型只会计", "算。"]),  # no line begins with a full stop
        ("模型（demo）很小", 8, ["模型", "（demo）", "很小"]),  # nor ends with an opening bracket
        ("GPT-2 的词表", 8, ["GPT-2 的", "词表"]),
        ("学习率 0.016，1,024", 10, ["学习率", "0.016，", "1,024"]),  # nor within a number
        ("用 < 和 > 选", 7, ["用 < 和", "> 选"]),
        ("一unbelievable二", 6, ["一", "unbeli", "evable", "二"]),
        ("平均3.477，共2,048个", 8, ["平均", "3.477，", "共2,048", "个"]),  # nor is a number broken at its point
        ("把 “ unt” 往上拉", 8, ["把", "“ unt”", "往上拉"]),  # nor within a token that begins with a space
        ("大小 4.1 kB。", 9, ["大小", "4.1 kB。"]),  # nor between a number and its unit
        ("plain words stay", 8, ["plain", "words", "stay"]),
    ],
)
def test_a_line_of_chinese_is_broken_between_any_two_characters_but_not_before_a_sign(
    text: str, width: int, lines: list[str]
) -> None:
    assert wrap(text, width) == lines
    assert all(cell_len(line) <= width for line in lines)
    if not text.isascii():
        assert len(wide_breaks(text, width)) == len(lines) - 1
