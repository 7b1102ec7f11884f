"""Data: choosing a text."""

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import Input, Label, Static

from lab.core.preferences import RecentText, write_preferences
from lab.data.cleaning.measure_funnel import FunnelReply, FunnelRequest, run_funnel_process
from lab.data.cleaning.rule_registry import BY_NAME, RULES
from lab.data.source_files import recent_texts
from lab.data.statistics import text_statistics
from lab.data.statistics.text_statistics import CountRequest, TokenCount, count_tokens, read_facts, run_count_process
from lab.planning.default_hyperparameters import default_vocabulary
from lab.planning.sequence_preview import run_split_process
from lab.runs.home_folder import home as home_folder
from lab.runs.run_schema import DEFAULT_RULES
from models.config import DEFAULT_PRESET
from screens.app import LabApp
from screens.data import clean_page
from screens.data.choose_inputs import TextTree
from screens.data.choose_page import ChoosePage
from screens.data.clean_page import CleanPage, RuleList
from screens.data.data_page import DataPage, fact_lines
from screens.data.look_page import LookPage, LookView
from screens.data.split_page import SplitPage, SplitView
from screens.dialogs.ask import AskText, ConfirmDialog
from screens.widgets.choice import Choice
from screens.widgets.key_bar import KeyBar
from screens.widgets.status_line import StatusLine
from screens.widgets.top_bars import PageBar
from tests.screens.data.conftest import DataApp, screen_of
from tests.screens.pilot_waits import press


def facts(pilot: Pilot[None]) -> dict[str, str]:
    return dict(screen_of(pilot).query_one("#text-facts").facts)  # type: ignore[attr-defined]


def hint(pilot: Pilot[None]) -> str:
    return str(screen_of(pilot).query_one("#data-hint", Static).content)


async def type_path(pilot: Pilot[None], path: str, *keys: str) -> None:
    await pilot.press("e", *keys)
    screen_of(pilot).query_one("#path-input", Input).value = path
    await pilot.press("enter")


def hold_reading(monkeypatch: pytest.MonkeyPatch, name: str) -> threading.Event:
    """Read a text of this name no sooner than the event is set."""
    go = threading.Event()

    def slowly(source: str, *rest: Any) -> Any:
        if source.endswith(name):
            assert go.wait(10)
        return read_facts(source, *rest)

    monkeypatch.setattr("screens.data.choose_page.read_facts", slowly)
    return go


async def open_clean(pilot: Pilot[None], until: Any) -> CleanPage:
    """The page of cleaning, once the text in use has been read."""
    screen = screen_of(pilot)
    await until(pilot, lambda: screen.text is not None)
    screen.page = "clean"
    await until(pilot, lambda: screen.query(CleanPage) and screen.current.display)
    return screen.query_one(CleanPage)


async def test_the_built_in_texts_enter_twice_leads_to_train_and_the_text_looked_at_last_is_the_next_run_s(
    app: LabApp, until: Any
) -> None:
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "entropy" in facts(pilot))
        assert facts(pilot)["text"] == "stories, built in"
        assert "bits per byte" in facts(pilot)["entropy"]
        await pilot.press("minus", "minus")
        await until(pilot, lambda: facts(pilot)["text"] == "stories:100kb, built in" and "size" in facts(pilot))
        assert facts(pilot)["size"].startswith("100,")
        preview = screen_of(pilot).query_one("#preview-text", Static)
        await pilot.press("v")
        assert "75.0%  Once there was a {look=look} {hero=hero:look} named {name=name:hero}." in str(preview.content)
        await pilot.press("v")
        assert str(preview.content).startswith("Once ")
        await pilot.press("enter")
        await until(pilot, lambda: app.focused is not None and app.focused.id == "use")
        assert (app.current_mode, app.text_source) == ("data", "stories:100kb"), "in use for Tokens, too"
        await pilot.press("enter")
        await until(pilot, lambda: app.current_mode == "train")
        assert app.focused is not None
        assert app.focused.id == "start"
        await pilot.press("escape", "2")
        await until(pilot, lambda: isinstance(app.focused, TextTree))
        await pilot.press("j")
        await until(pilot, lambda: facts(pilot)["text"] == "python, built in" and screen_of(pilot).text is not None)
        assert not screen_of(pilot).query_one("#stories-size").display
        assert str(screen_of(pilot).query_one("#use-hint", Label).content) == "n trains on it"
        await press(pilot, "4")
        assert app.text_source == "python"


async def test_a_typed_path_shows_what_the_text_is(app: LabApp, until: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def here(*asked: object) -> TokenCount:
        raise AssertionError("counted in the process of the screen")

    monkeypatch.setattr(text_statistics, "_count_tokens", here)
    monkeypatch.setattr("screens.data.choose_page.run_count_process", run_count_process)
    text = "The fox ran.\n" * 400
    other = home_folder() / "tale.txt"
    other.write_text(text)
    async with app.run_test(size=(80, 24)) as pilot:
        page, tree = screen_of(pilot).choose_page, screen_of(pilot).query_one(TextTree)
        await until(pilot, lambda: len(tree.root.children[-1].children) == 1)
        await pilot.press("e")
        assert str(screen_of(pilot).query_one("#use-hint", Label).content) == "escape leaves the field, then n"
        await type_path(pilot, str(other))
        await until(pilot, lambda: tree.under_cursor.source == str(other) and len(page._counts) == 2)
        assert str(tree.cursor_node.label) == "tale.txt  typed", "a text that was not listed"  # type: ignore[union-attr]
        assert page._counts["gpt2"] == "2,000 as gpt2"
        assert facts(pilot)["size"] == f"{len(text):,} bytes, {len(text):,} characters"
        assert facts(pilot)["cleaned"] == "nothing to clean: UTF-8, lines end in \\n"
        assert str(screen_of(pilot).query_one("#preview-text", Static).content) == text[:8000]
        old = TokenCount("bpe", 300, 1, exact=True)
        words = screen_of(pilot).query_one(PageBar).steps[2]
        page.post_message(ChoosePage.Counted((page.source, page.read_encoding, ("emails",)), "bpe", old))
        await pilot.pause()
        assert screen_of(pilot).query_one(PageBar).steps[2] == words, "a late count with other rules"
        await until(pilot, lambda: [text.source for text in recent_texts(home_folder())][:1] == [str(other)])
        assert app.text_source == str(other)


async def test_what_is_no_text_is_greyed_and_one_sentence_and_cannot_be_used(
    app: LabApp, until: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the user's home, which is shown where the working folder is gone."""
    gone, home = tmp_path / "gone", tmp_path / "you"
    gone.mkdir()
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(gone)
    gone.rmdir()
    (home / "picture.png").write_bytes(b"\x89PNG\0\0\0\0" * 100)
    (home / "wide.txt").write_text("The big dog ran.\n" * 20, encoding="utf-16")
    async with app.run_test(size=(80, 24)) as pilot:
        tree = screen_of(pilot).query_one(TextTree)
        await until(pilot, lambda: tree.folder == home)
        await until(pilot, lambda: "picture.png  binary" in [str(leaf.label) for leaf in tree.root.children[-1].children])
        spans = {str(leaf.label): leaf.label.spans for leaf in tree.root.children[-1].children}  # type: ignore[union-attr]
        assert {span.style for span in spans["picture.png  binary"]} == {"dim", "dim italic"}
        assert not spans["wide.txt"]
        for path, words in (("nothing*", "matches no text file"), ("picture.png", "is not text")):
            await type_path(pilot, path)
            await until(pilot, lambda words=words: words in hint(pilot))
            assert hint(pilot).startswith("✗ Not read: ")
        await pilot.press("escape", "n")
        assert app.current_mode == "data"
        assert app.text_source == ""


async def test_a_file_in_another_encoding_opens_when_that_is_named(app: LabApp, until: Any) -> None:
    text = "Où est le chat? Il a dormi à côté de la fenêtre, près du poêle.\n" * 40
    Path("french.txt").write_bytes(text.encode("cp1252"))
    async with app.run_test(size=(80, 24)) as pilot:
        page = screen_of(pilot).choose_page
        await type_path(pilot, "fable.txt french.txt")
        await until(pilot, lambda: "french.txt is not UTF-8" in hint(pilot))
        assert hint(pilot).endswith("press enter to read it as cp1252."), "the other file stays UTF-8"
        await pilot.press("enter")
        await until(pilot, lambda: page._facts is not None)
        assert facts(pilot)["files"] == "2 documents"
        page.query_one("#encoding", Input).value = "utf-8"
        await pilot.press("n")
        await until(pilot, lambda: "cannot be decoded" in hint(pilot))
        assert app.current_mode == "data", "an encoding is not used unread"
        page.query_one("#encoding", Input).value = "cp1252"
        await pilot.press("escape", "n")
        await until(pilot, lambda: app.current_mode == "train")
        assert app.text_encoding == "cp1252"


async def test_the_text_in_use_is_read_in_its_encoding_and_a_late_answer_in_another_is_not_taken(
    data_app: DataApp, until: Any, home: Path
) -> None:
    """And recent texts stand above the folder with their encoding, which the next text does not have."""
    french = Path("french.txt").absolute()
    french.write_bytes("Où est le chat? Il a dormi à côté.\n".encode("cp1252") * 40)
    write_preferences(home, recent_texts=(RecentText(str(french), "cp1252"), RecentText("stories")))
    app = data_app(text=str(french))
    app.set_reactive(LabApp.text_encoding, "cp1252")
    async with app.run_test(size=(80, 24)) as pilot:
        page, tree = screen_of(pilot).choose_page, screen_of(pilot).query_one(TextTree)
        await until(pilot, lambda: "decoded from cp1252" in facts(pilot).get("cleaned", ""))
        late = page._facts
        page.query_one("#encoding", Input).value = "latin-1"
        page.query_one("#encoding", Input).focus()
        await pilot.press("enter")
        await until(pilot, lambda: "decoded from iso8859-1" in facts(pilot).get("cleaned", ""))
        page.show_facts((str(french), "cp1252", page.rules), late)
        await pilot.pause()
        assert "decoded from iso8859-1" in facts(pilot)["cleaned"]
        text = screen_of(pilot).text
        assert text is not None
        assert text.encoding == "latin-1"
        await until(pilot, lambda: len(tree.root.children) == 4)
        assert str(tree.root.children[2].label) == "french.txt  recent"
        await pilot.press("escape", "k")
        await until(pilot, lambda: facts(pilot)["text"] == "python, built in")
        assert not page.query_one("#encoding", Input).value
        await pilot.press("j")
        await until(pilot, lambda: "decoded from cp1252" in facts(pilot).get("cleaned", ""))


async def test_tab_completes_a_path_once_its_completions_are_known_and_then_goes_on(
    app: LabApp, until: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = {typed: threading.Event() for typed in ("s", "f", "fab")}

    def late_completions(typed: str) -> list[str]:
        if typed in known:
            known[typed].wait(60)
        return ["fable.txt"]

    Path("fables-2.txt").touch()
    async with app.run_test(size=(80, 24)) as pilot:
        field = screen_of(pilot).query_one("#path-input", Input)
        with monkeypatch.context() as patch:
            patch.setattr("screens.data.choose_inputs.completions", late_completions)
            await pilot.press("e", "f", "tab", "a", "b", "tab")
            assert field.value == "fab"
            known["fab"].set()
            await until(pilot, lambda: field.value == "fable.txt" or app.focused is not field)
            assert app.focused is field
            known["f"].set()
            await pilot.press("ctrl+u", "s", "tab", "escape")
            known["s"].set()
            await pilot.app.workers.wait_for_complete()
            assert field.value == "s", "not where the field was left"
        await pilot.press("e", "ctrl+u", "f")
        assert [key.key for key in screen_of(pilot).query_one(KeyBar)._keys()] == ["⏎", "tab", "esc"], (
            "no key that would be typed"
        )
        await until(pilot, lambda: hint(pilot) == "fable.txt  fables-2.txt")
        await pilot.press("tab", "s", "tab")
        await until(pilot, lambda: field.value == "fables-2.txt" and hint(pilot) == "fables-2.txt")
        await press(pilot, "tab")
        assert app.focused is not field


async def test_n_waits_for_a_text_that_is_still_being_read_unless_the_cursor_moves_on_and_the_focus_stays(
    app: LabApp, until: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("tale.txt").write_text("Once there was a cat.\n" * 50)
    async with app.run_test(size=(80, 24)) as pilot:
        page = screen_of(pilot).choose_page
        await until(pilot, lambda: page._facts is not None)
        go = hold_reading(monkeypatch, "python")
        await pilot.press("j", "n", "k")
        go.set()
        await until(pilot, lambda: facts(pilot)["text"] == "stories, built in" and page._facts is not None)
        assert app.current_mode == "data"
        go = hold_reading(monkeypatch, "tale.txt")
        await type_path(pilot, "tale.txt")
        await pilot.press("escape", "e")
        go.set()
        await until(pilot, lambda: facts(pilot)["text"].endswith("tale.txt") and page._facts is not None)
        assert getattr(app.focused, "id", "") == "path-input", "a text that is read late takes the focus from nobody"
        go = hold_reading(monkeypatch, "fable.txt")
        await type_path(pilot, "fable.txt")
        await pilot.press("escape", "n")
        assert "n" in {binding.binding.key for binding in app.screen.active_bindings.values() if binding.enabled}
        assert hint(pilot) == "Reading fable.txt …: it is used as soon as it has been read."
        assert facts(pilot)[""] == "reading …"
        assert app.current_mode == "data"
        go.set()
        await until(pilot, lambda: app.current_mode == "train")
        assert app.text_source == str(Path("fable.txt").absolute())


async def test_keys_and_clicks_turn_the_pages_page_down_scrolls_and_escape_leads_back(data_app: DataApp, until: Any) -> None:
    app = data_app(text="stories:50kb")
    async with app.run_test(size=(80, 24)) as pilot:
        screen = screen_of(pilot)
        bar = screen.query_one(PageBar)
        await until(pilot, lambda: screen.text is not None)
        for page, part in ((LookPage, LookView), (CleanPage, RuleList), (SplitPage, SplitView)):
            await pilot.press("]")
            await until(pilot, lambda page=page: screen.query(page) and screen.current.display)
            assert (screen.page, bar.current, bar.step) == (page.LINK.name, page.LINK.name, page.STEP)
            assert [type(part) for part in screen.query(DataPage) if part.display] == [page]
            view = screen.query_one(part)
            await until(pilot, lambda view=view: view.has_focus and view.extent[0] > view.window)
            await pilot.press("pagedown", "pagedown")
            await until(pilot, lambda view=view: view.top > 0)
        await press(pilot, "]")
        assert screen.page == "choose"
        await press(pilot, "[")
        assert screen.page == "split"
        await press(pilot, "escape")
        assert screen.page == "choose"
        assert app.focused is screen.query_one("#texts")
        await pilot.click(bar, offset=(1 + len("▸choose◂  l"), 0))
        await pilot.pause()
        assert screen.page == "look"
        await pilot.press("e", "x", "o")
        assert screen.page == "choose"
        assert screen.query_one("#path-input", Input).value == "xo"


async def test_split_draws_as_many_windows_of_real_tokens_as_fit_shifted_by_one(
    data_app: DataApp, until: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("screens.data.split_page.run_split_process", run_split_process)
    async with data_app(text="fable.txt").run_test(size=(200, 60)) as pilot:
        await until(pilot, lambda: screen_of(pilot).text is not None)
        await pilot.press("[")
        await until(pilot, lambda: screen_of(pilot).query(SplitPage))
        page = screen_of(pilot).query_one(SplitPage)
        page.query_one("#split-preset", Choice).value = "nano"
        await until(pilot, lambda: page.tokens is not None)
        tokens = page.tokens
        assert tokens is not None
        view = page.query_one(SplitView)

        def row(label: str) -> list[str]:
            line = next(line for line in view._lines if line and line[0][0].strip() == label)
            return [text.rstrip() for text, kind in line[1:] if kind != "mark"]

        shown = [tokens.tokenizer.label(id) for id in tokens.window(0, 64)]
        assert row("input") == shown[: len(row("input"))]
        assert row("target") == shown[1 : len(row("target")) + 1]
        assert len([line for line in view._lines if line and line[0][0].startswith("window ")]) == 5
        await press(pilot, "right", "v")
        assert row("input") == [str(id) for id in tokens.window(1, 64)][: len(row("input"))]
        await press(pilot, "}", "{")
        assert page.window == 0
        await pilot.press("c", "c")
        await until(pilot, lambda: page.tokens is not None and page.tokens.kind == "bytes")
        assert tokens.text is page.tokens.text  # type: ignore[union-attr]


async def test_marked_files_and_folders_are_documents_of_one_text(app: LabApp, until: Any) -> None:
    Path("more").mkdir()
    Path("more", "tale.txt").write_text("Once there was a cat.\n" * 50)
    Path("more", "picture.png").write_bytes(b"\x89PNG\0\0\0\0" * 100)
    async with app.run_test(size=(80, 24)) as pilot:
        page, tree = screen_of(pilot).choose_page, screen_of(pilot).query_one(TextTree)
        await until(pilot, lambda: len(tree.root.children[-1].children) == 2)
        await pilot.press("j", "j", "j", "m", "m")  # the folder more, then fable.txt, the last line, where the cursor stays
        await until(pilot, lambda: facts(pilot).get("files", "").startswith("2 documents"))
        assert tree.marked == (str(Path("more").absolute()), str(Path("fable.txt").absolute()))
        assert facts(pilot)["files"] == "2 documents; left out: 1 binary file"
        await pilot.press("m", "m", "k")
        await until(pilot, lambda: facts(pilot).get("files", "").startswith("2 documents"))
        await pilot.press("n")
        await until(pilot, lambda: app.current_mode == "train")
        assert app.text_source == "\n".join(tree.marked)
        await pilot.press("2", "j", "x")  # on fable.txt
        assert tree.marked == ()
        await until(pilot, lambda: "size" in facts(pilot))
        assert page.source == str(Path("fable.txt").absolute())
        assert "files" not in facts(pilot), "it alone is the text"
        assert not hint(pilot)
        await pilot.press("m", "k", "x")
        assert page.source == "", "a folder is a text only once it is marked"
        assert facts(pilot)["text"].startswith("none chosen")
        await until(pilot, lambda: not screen_of(pilot).text)


async def test_a_file_is_found_in_the_tree_by_keys_and_by_a_filter_in_all_folders_below(app: LabApp, until: Any) -> None:
    Path("more", "deep").mkdir(parents=True)
    Path("more", "deep", "tale.txt").write_text("Once there was a cat.\n" * 50)
    async with app.run_test(size=(80, 24)) as pilot:
        tree = screen_of(pilot).query_one(TextTree)

        def shown() -> list[str]:
            return [str(leaf.label) for leaf in tree.root.children[-1].children]

        await until(pilot, lambda: len(shown()) == 2)
        await pilot.press("j", "j", "j")
        await until(pilot, lambda: hint(pilot).startswith("A folder: enter opens it"))
        await pilot.press("l")
        await until(pilot, lambda: tree.cursor_node is not None and tree.cursor_node.children)
        await pilot.press("slash", *"tale")
        await until(pilot, lambda: shown() == ["more/deep/tale.txt"])
        await pilot.press("enter")
        await until(pilot, lambda: app.focused is not None and app.focused.id == "use")
        assert facts(pilot)["text"] == str(Path("more", "deep", "tale.txt").absolute())
        await pilot.press("escape", "escape")
        await until(pilot, lambda: shown() == ["more/", "fable.txt"])
        assert not screen_of(pilot).query_one("#filter").display


async def test_a_text_of_which_the_rules_left_nothing_is_read_again_with_others(data_app: DataApp, until: Any) -> None:
    Path("long.txt").write_text("x" * 2000)
    async with data_app(text="fable.txt").run_test(size=(80, 24)) as pilot:
        screen, page = screen_of(pilot), await open_clean(pilot, until)
        page.rules = (*DEFAULT_RULES, "long-lines")
        await pilot.press("escape")
        await type_path(pilot, "long.txt")
        await until(pilot, lambda: "leaves nothing" in hint(pilot))
        screen.page = "clean"
        await until(pilot, lambda: page.is_shown)
        assert screen.text is None
        page.rules = DEFAULT_RULES
        await until(pilot, lambda: screen.text is not None and screen.text.source.endswith("long.txt"))


async def test_rules_answer_at_once_and_their_numbers_and_the_saved_text_follow(
    data_app: DataApp, until: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The funnel of the rules before changes no number, and a text that is read again with these is not measured again."""
    Path("web.txt").write_bytes("Write to me@dogs.net.\r\n\r\n\r\n\r\nZoë ran.\r\n".encode() * 20)
    release = [asyncio.Event(), asyncio.Event()]
    asked: list[tuple[str, ...]] = []
    measured: list[tuple[str, ...]] = []

    async def held(request: FunnelRequest, progress: Any) -> FunnelReply:
        if request.save:
            return await run_funnel_process(request, progress)
        asked.append(request.rules)
        released = release[len(asked) - 1]
        reply = await here(request, progress)
        measured.append(request.rules)
        await released.wait()
        return reply

    here = clean_page.run_funnel_process
    monkeypatch.setattr(clean_page, "run_funnel_process", held)
    app = data_app(text="web.txt")
    async with app.run_test(size=(80, 24)) as pilot:
        page = await open_clean(pilot, until)
        await until(pilot, lambda: len(measured) == 1)
        rules = page.query_one(RuleList)
        rules.selected = at = list(BY_NAME).index("emails")
        await press(pilot, "x")
        screen, bar = screen_of(pilot), screen_of(pilot).query_one(PageBar)
        assert page.rules == ("line-endings", "emails")
        assert "[x] e-mail addresses" in "".join(text for text, _ in rules._lines[at + 1])
        release[0].set()
        await until(pilot, lambda: len(asked) == 2)
        assert bar.steps[2] == "tokens"  # the number of the rules before is not that of these
        release[1].set()
        await until(pilot, lambda: page.funnel is not None and bar.steps[2] != "tokens")
        assert page.funnel is not None
        assert page.funnel.steps[1].passages_changed == 20
        kept = page.funnel.kept_bytes
        tokens = count_tokens(CountRequest("web.txt", None, "bpe", default_vocabulary(DEFAULT_PRESET, kept), page.rules)).tokens
        assert bar.steps[1:] == (f"cleaned {kept} B", f"tokens {tokens} bpe")
        screen.page = "choose"
        await until(pilot, lambda: screen.text is not None and screen.text.facts.bytes == kept)
        screen.page = "clean"
        await until(pilot, lambda: app.focused is rules)
        assert bar.steps[1] == f"cleaned {kept} B"
        assert asked == [("line-endings",), ("line-endings", "emails")]
        await pilot.press("o")
        assert isinstance(app.screen, AskText)
        await pilot.press("enter")
        await until(pilot, lambda: str(page.query_one("#clean-status", StatusLine).left).startswith("saved "))
        assert b"email@example.com" in Path("web.cleaned.txt").read_bytes()
        await pilot.press("o")
        app.screen.query_one(Input).value = "web.txt"
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, ConfirmDialog))
        await pilot.press("escape", "n")
        await until(pilot, lambda: app.current_mode == "train")
        assert app.text_cleaning == ("line-endings", "emails")
        assert Path("web.txt").read_bytes().startswith(b"Write to me@dogs.net.\r\n")


async def test_the_rule_with_the_largest_effect_comes_into_view_until_one_is_chosen_and_another_encoding_is_measured_anew(
    data_app: DataApp, until: Any
) -> None:
    Path("web.txt").write_text("Zoë stands here many times, word for word, and is long.\n" * 40)
    async with data_app(text="web.txt").run_test(size=(80, 24)) as pilot:
        page = await open_clean(pilot, until)
        screen, listed, bar = screen_of(pilot), page.query_one(RuleList), screen_of(pilot).query_one(PageBar)
        await until(pilot, lambda: page.funnel is not None)
        assert listed.selected == 0, "nothing was taken"
        assert bar.steps[:2] == ("text 2.3 kB", "cleaned"), "the size is said once"
        await pilot.press("a")
        await until(pilot, lambda: "duplicate lines" in str(page.query_one("#rule").border_title))
        shown = [listed.render_line(y).text for y in range(listed.window)]
        assert any("▌[x] duplicate lines" in line for line in shown), shown
        await pilot.press("k", "x")
        chosen = listed.selected
        await until(pilot, lambda: page.funnel is not None and len(page.funnel.steps) == len(RULES) - 1)
        assert listed.selected == chosen
        screen.choose_page.take_encoding("latin-1")
        screen.choose_page.choose("web.txt")
        await until(pilot, lambda: screen.text is not None and screen.text.encoding == "latin-1")
        assert bar.steps[0] != "text 2.3 kB", "that is the funnel of the text as it was read before"
        await until(pilot, lambda: bar.steps[0] == "text 2.4 kB")


async def test_rules_switched_faster_than_they_are_shown_or_while_the_text_is_read_anew_are_all_switched(
    data_app: DataApp, until: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And a cleaned text that is being saved would be lost."""

    async def held(*_: Any) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr("screens.data.clean_page.run_funnel_process", held)
    app = data_app(text="fable.txt")
    async with app.run_test(size=(80, 24)) as pilot:
        page = await open_clean(pilot, until)
        screen = screen_of(pilot)
        page.rules = ("line-endings", "emails")
        page.rules = ("line-endings", "emails", "phone-numbers")
        first = CleanPage.RulesChanged(page.changes - 1, ("line-endings", "emails"))
        screen._rules_changed(first)  # told late, as on a busy machine
        assert page.rules == ("line-endings", "emails", "phone-numbers")
        await until(pilot, lambda: screen.choose_page.rules == page.rules)
        assert page.rules == ("line-endings", "emails", "phone-numbers")
        page.rules = ("line-endings", "emails")
        screen._text_read(ChoosePage.TextRead(screen.text))  # before the screen has heard of the rule
        await until(pilot, lambda: screen.choose_page.rules == ("line-endings", "emails"))
        assert page.rules == ("line-endings", "emails")
        await pilot.press("o")
        await until(pilot, lambda: isinstance(app.screen, AskText))
        assert not app._would_be_lost()
        await pilot.press("enter")
        await until(pilot, app._would_be_lost)
        assert app._would_be_lost() == ["the cleaned text being saved"]
        await pilot.press("escape")
        assert not app._would_be_lost()


def test_the_number_of_rules_is_told_in_the_singular_too(home: Path) -> None:
    words = [dict(fact_lines(read_facts("fable.txt"), {}, rules))["cleaned"] for rules in ((), ("nfc",), ("nfc", "emails"))]
    rest = "Clean shows what each takes"
    assert words == ["not at all: Clean shows the rules", f"by 1 rule: {rest}", f"by 2 rules: {rest}"]
