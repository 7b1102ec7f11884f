"""Lessons and claims in other languages, on the demo: nothing is cut off at 80x24, and a language is chosen in the palette."""

import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
from rich.cells import cell_len
from textual.widgets import Markdown

from lab.core.preferences import read_preferences
from lab.data.cleaning.rule_registry import RULES
from lab.lessons import translation
from lab.lessons.guess_score import read_predictions
from lab.lessons.lesson import Lesson, lessons
from lab.lessons.translation import languages
from screens.action_index import all_actions
from screens.app import LabApp
from screens.command_palette import LabCommands
from screens.help_screen import sections_of
from screens.learn.claims_page import ClaimsPage
from screens.learn.lesson_reader import LessonText, lesson_markdown
from screens.widgets.guess_view import GuessView
from screens.widgets.status_line import StatusLine
from screens.widgets.text_fitting import wide_breaks, wrap
from tests.lab.conftest import one_core
from tests.screens.fake_wire import SilentEngine
from tests.screens.in_process_engine import InProcessEngine
from tests.screens.learn.conftest import learn_app, lessons_page
from tests.screens.pilot_waits import rows_of

__all__ = ["one_core"]
pytestmark = pytest.mark.usefixtures("one_core")
CODES = sorted(languages().keys() - {"en"})
ENGLISH = {lesson.name: lesson for lesson in lessons()}


def app_in(code: str, home: Path, monkeypatch: pytest.MonkeyPatch, engine: Any = InProcessEngine) -> LabApp:
    monkeypatch.setenv("LLMLAB_HOME", str(home))
    monkeypatch.setenv("LLMLAB_LANG", code)
    return learn_app(engine)


def plain(markdown: str) -> str:
    """The letters of a text of Markdown."""
    return re.sub(r"\]\([^)]*\)|[\s*`\[_]", "", markdown)


def translated(found: list[Lesson]) -> list[Lesson]:
    return [lesson for lesson in found if lesson != ENGLISH[lesson.name]]


MOST_CHECKED = 6
"""Steps of a language that are drawn: those with the most lines, by a rough count."""


async def test_the_longest_steps_of_each_language_are_whole_at_80x24_with_at_most_fifteen_lines_of_help(
    tmp_path: Path, until: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the engine answers; each language in place of the one that the environment asks for."""
    app = app_in("en", tmp_path, monkeypatch, SilentEngine)
    (tmp_path / "fable.txt").write_text("The big dog ran fast. The old cat sat.\n" * 50)
    async with app.run_test(size=(80, 24)) as pilot:
        app.text_source = str(tmp_path / "fable.txt")
        page = await lessons_page(pilot, until)
        await pilot.press("enter")
        reader, box = page.reader, page.query_one(LessonText)
        status = page.query_one("#lesson-status", StatusLine)
        titles = [page.lessons[2].title]
        for code in CODES:
            app.set_reactive(LabApp.preferences, msgspec.structs.replace(app.preferences, language=code))
            app.choose_language(code)
            await until(pilot, lambda: page.lessons[2].title not in titles)
            titles.append(page.lessons[2].title)
            assert app.language == app.preferences.language == code
            steps = [(lesson, at, step) for lesson in translated(page.lessons) for at, step in enumerate(lesson.steps)]
            for lesson, at, step in sorted(steps, key=lambda place: lines_of(place[2].text))[-MOST_CHECKED:]:
                reader.show(lesson, at)
                text, where = lesson_markdown(step.text), (code, lesson.name, at)
                await until(
                    pilot,
                    lambda text=text: page.query_one(Markdown).source == text and not reader._is_laying_out and box.size.height,
                )
                assert not status.has_class("-error"), (where, status.left)
                assert box.below == 0, where
                assert plain(text) == plain("".join(drawn_in(box))), where
                assert cell_len(str(box.border_title)) <= box.size.width - 2, where
                assert cell_len(str(box.border_subtitle)) <= box.size.width - 2, where
                rows = [row.words for _, rows in sections_of(page.screen) for row in rows if row.is_listed]  # type: ignore[arg-type]
                assert len(rows) <= 15, (where, rows)
            assert all(cell_len(row) == 80 for row in rows_of(pilot)), "wide characters stand in two cells"


def lines_of(text: str) -> int:
    """Lines of a text of Markdown at 80 columns, about, with an empty one after each paragraph."""
    return sum(len(wrap(part, 74)) + 1 for part in text.split("\n\n"))


def drawn_in(box: LessonText) -> list[str]:
    return [line.text for part in box.query("MarkdownBlock") for line in part.render_lines(part.size.region)]


@pytest.mark.parametrize("code", CODES)
def test_a_translated_step_names_pages_and_rules_as_they_stand_on_screen(code: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(translation, "_in_use", code)
    pages = {part[:1].upper() + part[1:] for action in all_actions() for part in action.place.split(" · ")}
    a_page = re.compile(rf"(?<=[a-z,] )(?:{'|'.join(sorted(pages, key=len, reverse=True))})\b")
    a_rule = re.compile("|".join(sorted((re.escape(rule.title) for rule in RULES), key=len, reverse=True)))
    named = 0
    for lesson in translated(lessons()):
        for step, same in zip(lesson.steps, ENGLISH[lesson.name].steps, strict=True):
            said = step.text + "".join(step.live.words.values() if step.live else ())
            names = {*a_page.findall(same.text), *a_rule.findall(same.text)}
            names |= {text for text in (same.live.options.values() if same.live else ()) if a_rule.fullmatch(text)}
            assert not [name for name in names if name not in said], (lesson.name, step.title)
            named += len(names)
    assert named >= 12


@pytest.mark.parametrize("code", CODES)
def test_a_preview_leaves_out_what_keys_do_in_a_step(code: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(translation, "_in_use", code)
    tries = translation.own_words(code)["**Try:**"]
    texts = [step.text for lesson in translated(lessons()) for step in lesson.steps]
    assert all(tries not in lesson_markdown(text, is_preview=True) for text in texts)
    assert sum(tries in lesson_markdown(text) for text in texts) > 10


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
        rows = rows_of(pilot)
        assert "help" in rows[-1], "the screens speak English"
        assert "my notes" in rows[1]
        await pilot.press("enter")
        await until(pilot, lambda: len(read_predictions(tmp_path)[0]) == 2)
        first, second = read_predictions(tmp_path)[0]
        assert first.identity == second.identity != ""
        await until(pilot, lambda: read_preferences(tmp_path)[0].language == "de")
        assert [each.words for each in provider._commands() if "English" in each.words] == ["Language: English"]
    again = app_in("", tmp_path, monkeypatch, SilentEngine)
    folder = tmp_path / "translations" / "zh" / "claims" / "text"
    folder.mkdir(parents=True)
    async with again.run_test(size=(80, 24)) as pilot:
        page = await lessons_page(pilot, until)
        assert page.lessons[2].title == "Tokens und BPE"
        await pilot.press("right_square_bracket")
        claims = pilot.app.screen.query_one(ClaimsPage)
        await until(pilot, lambda: claims.claims)
        at = next(at for at, claim in enumerate(claims.claims) if claim.name == "vocabulary")
        claims._open("vocabulary")
        english, _, text = (translation.LESSONS / "claims" / "text" / "01-vocabulary.md").read_text("utf-8").partition("\n")
        own = f"{english.replace('# ', '# Titel <!-- ')} · 1 -->\n{text.partition('## ')[0]}"
        (folder / "01-vocabulary.md").write_text(own, "utf-8")
        monkeypatch.setattr(translation, "TRANSLATIONS", tmp_path / "translations")
        again.choose_language("zh")
        await until(pilot, lambda: claims.claims and claims.claims[at].title == "Titel")
        await until(pilot, lambda: claims.chosen is claims.claims[at] and claims.has_class("-reading"))
    assert app_in("en", tmp_path, monkeypatch, SilentEngine).language == "en", "the environment comes first"


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
