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
from lab.data.statistics.text_statistics import TokenCount, count_tokens, read_facts
from lab.planning.default_hyperparameters import default_vocabulary
from lab.runs.home_folder import home as home_folder
from lab.runs.run_schema import DEFAULT_RULES
from models.config import DEFAULT_PRESET
from screens.app import LabApp
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
from tests.screens.pilot_waits import keys_to, press, resize


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


TO_CLEAN, BACK_FROM_CLEAN = ("]", "]"), ("[", "[")
"""Keys between the page Choose and the page Clean."""
TO_EMAILS = keys_to("emails", BY_NAME)
"""Keys from the first rule of the page Clean to this one."""


async def open_clean(pilot: Pilot[None], until: Any, path: str) -> None:
    """Read the text, and open the page of cleaning."""
    await type_path(pilot, path)
    name = Path(path).stem
    await until(pilot, lambda: screen_of(pilot).text is not None and name in screen_of(pilot).text.source)
    await pilot.press("escape", *TO_CLEAN)


async def test_stories_is_looked_at_first_enter_twice_leads_to_train_and_sizes_come_with_their_grammar(
    app: LabApp, until: Any
) -> None:
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: len(screen_of(pilot).choose_page._counts) == 2)
        assert facts(pilot)["text"] == "stories, built in"
        assert "bits per byte" in facts(pilot)["entropy"]
        await pilot.press("enter")
        await until(pilot, lambda: app.focused is not None and app.focused.id == "use")
        assert (app.current_mode, app.text_source) == ("data", "stories"), "in use for Tokens, too"
        await pilot.press(*TO_CLEAN, "a")
        await until(pilot, lambda: len(app.text_cleaning) > 10)
        await pilot.press("a", *BACK_FROM_CLEAN, "n")
        await until(pilot, lambda: app.current_mode == "train")
        assert app.text_source == "stories"
        assert app.focused is not None
        assert app.focused.id == "start"
        await pilot.press("escape", "2", "minus", "minus")
        await until(pilot, lambda: facts(pilot)["text"] == "stories:100kb, built in")
        assert facts(pilot)["size"].startswith("100,")
        preview = screen_of(pilot).query_one("#preview-text", Static)
        await pilot.press("v")
        assert "75.0%  Once there was a {look=look} {hero=hero:look} named {name=name:hero}." in str(preview.content)
        await pilot.press("v")
        assert str(preview.content).startswith("Once ")
        await pilot.press("j")
        await until(pilot, lambda: facts(pilot)["text"] == "python, built in")
        assert not screen_of(pilot).query_one("#stories-size").display


async def test_a_text_typed_before_the_recent_ones_are_known_is_listed_once(
    app: LabApp, until: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    typed = threading.Event()
    recent = [RecentText("tale.txt"), RecentText("older.txt")]
    monkeypatch.setattr("screens.data.choose_inputs.recent_texts", lambda home: recent if typed.wait(30) else [])
    async with app.run_test(size=(80, 24)) as pilot:
        tree = screen_of(pilot).query_one(TextTree)
        tree.show_source("tale.txt", "")
        typed.set()
        await until(pilot, lambda: any("older.txt" in str(node.label) for node in tree.root.children))
        listed = [str(node.label) for node in tree.root.children]
        assert listed[2:4] == ["older.txt  recent", "tale.txt  typed"]
        assert sum("tale.txt" in line for line in listed) == 1


async def test_the_text_looked_at_last_is_the_next_run_s(app: LabApp, until: Any) -> None:
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: facts(pilot).get("text", "").startswith("stories"))
        await press(pilot, "4")
        assert app.text_source == "", "the first text was in view unasked"
        await press(pilot, "2", "down")
        await until(pilot, lambda: facts(pilot)["text"].startswith("python"))
        assert str(screen_of(pilot).query_one("#use-hint", Label).content) == "n trains on it"
        await press(pilot, "4")
        assert app.text_source == "python"


async def test_a_typed_path_shows_what_the_text_is(app: LabApp, until: Any) -> None:
    text = Path("fable.txt").read_text()
    other = home_folder() / "tale.txt"
    other.write_text("They ran home. " * 100)
    async with app.run_test(size=(80, 24)) as pilot:
        tree, line = screen_of(pilot).query_one(TextTree), screen_of(pilot).query_one("#path-input", Input)
        await until(pilot, lambda: len(tree.root.children[-1].children) == 1)
        await type_path(pilot, str(other))
        await until(pilot, lambda: tree.under_cursor.source == str(other))
        assert str(tree.cursor_node.label) == "tale.txt  typed", "a text that was not listed"  # type: ignore[union-attr]
        await pilot.press("escape")
        assert str(screen_of(pilot).query_one("#use-hint", Label).content) == "n trains on it"
        await pilot.press("k", "enter")
        await until(pilot, lambda: line.value == "python" and app.focused is not tree)
        await pilot.press("escape", "k")
        await until(pilot, lambda: line.value == "")
        await pilot.press("e")
        assert str(screen_of(pilot).query_one("#use-hint", Label).content) == "escape leaves the field, then n"
        await type_path(pilot, "fable.txt")
        await until(pilot, lambda: tree.under_cursor.source == str(Path("fable.txt").absolute()))
        await until(pilot, lambda: "fable.txt" in facts(pilot)["text"] and len(screen_of(pilot).choose_page._counts) == 2)
        assert facts(pilot)["size"] == f"{len(text.encode()):,} bytes, {len(text):,} characters"
        assert facts(pilot)["cleaned"] == "nothing to clean: UTF-8, lines end in \\n"
        assert str(screen_of(pilot).query_one("#preview-text", Static).content) == text[:8000]
        await pilot.press("n")
        await pilot.pause()
        assert app.text_source == str(Path("fable.txt").absolute())
        await until(pilot, lambda: [text.source for text in recent_texts(home_folder())][:1] == [app.text_source])


async def test_what_is_no_text_is_greyed_and_one_sentence_and_cannot_be_used(app: LabApp, until: Any) -> None:
    Path("picture.png").write_bytes(b"\x89PNG\0\0\0\0" * 100)
    Path("empty.txt").touch()
    Path("hollow").mkdir()
    Path("wide.txt").write_text("The big dog ran.\n" * 20, encoding="utf-16")
    async with app.run_test(size=(80, 24)) as pilot:
        folder = screen_of(pilot).query_one(TextTree).root.children[-1]
        await until(pilot, lambda: "picture.png  binary" in [str(leaf.label) for leaf in folder.children])
        spans = {str(leaf.label): leaf.label.spans for leaf in folder.children}  # type: ignore[union-attr]
        assert {name for name in spans if "." in name} == {"empty.txt", "fable.txt", "picture.png  binary", "wide.txt"}
        assert {span.style for span in spans["picture.png  binary"]} == {"dim", "dim italic"}
        assert not spans["fable.txt"]
        for path, words in (
            ("gone.txt", "does not exist"),
            ("hollow", "is a folder without a text file"),
            ("picture.png", "is not text"),
            ("empty.txt", "is empty"),
        ):
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
        await type_path(pilot, "french.txt")
        await until(pilot, lambda: "is not UTF-8" in hint(pilot))
        assert hint(pilot).endswith("press enter to read it as cp1252.")
        await pilot.press("enter")
        await until(pilot, lambda: screen_of(pilot).choose_page._facts is not None)
        assert "decoded from cp1252" in facts(pilot)["cleaned"]
        page = screen_of(pilot).choose_page
        page.query_one("#encoding", Input).value = "utf-8"
        await pilot.press("n")
        await until(pilot, lambda: "cannot be decoded" in hint(pilot))
        assert app.current_mode == "data", "an encoding is not used unread"
        page.query_one("#encoding", Input).value = "cp1252"
        await pilot.press("escape", "n")
        await until(pilot, lambda: app.current_mode == "train")
        assert app.text_encoding == "cp1252"
        await pilot.press("2")
        await type_path(pilot, "fable.txt")
        await until(pilot, lambda: facts(pilot)["text"].endswith("fable.txt") and app.text_source.endswith("fable.txt"))
        assert app.text_encoding == "", "the next text is not read in it"
        await pilot.press("escape")
        await type_path(pilot, "fable.txt french.txt")
        await until(pilot, lambda: "french.txt is not UTF-8" in hint(pilot))
        assert hint(pilot).endswith("press enter to read it as cp1252."), "the other file stays UTF-8"
        await pilot.press("enter")
        await until(pilot, lambda: facts(pilot)["text"].endswith("1 more") and screen_of(pilot).choose_page._facts is not None)
        assert facts(pilot)["files"] == "2 documents"


async def test_the_text_in_use_is_read_in_its_encoding_and_a_late_answer_in_another_is_not_taken(
    data_app: DataApp, until: Any, home: Path
) -> None:
    """And recent texts stand above the folder with their encoding."""
    french = Path("french.txt").absolute()
    french.write_bytes("Où est le chat? Il a dormi à côté.\n".encode("cp1252") * 40)
    write_preferences(home, recent_texts=(RecentText(str(french), "cp1252"), RecentText("stories")))
    app = data_app(text=str(french))
    app.set_reactive(LabApp.text_encoding, "cp1252")
    async with app.run_test(size=(80, 24)) as pilot:
        page = screen_of(pilot).choose_page
        await until(pilot, lambda: len(page._counts) == 2)
        assert "decoded from cp1252" in facts(pilot)["cleaned"]
        page.query_one("#encoding", Input).value = "latin-1"
        page.query_one("#encoding", Input).focus()
        await pilot.press("enter")
        await until(pilot, lambda: len(page._counts) == 2 and "decoded from iso8859-1" in facts(pilot)["cleaned"])
        late = read_facts(str(french), "cp1252", page.rules)
        page.post_message(ChoosePage.Counted((str(french), "cp1252", page.rules), "bpe", None, "late"))
        page.post_message(ChoosePage.FactsRead((str(french), "cp1252", page.rules), late))
        await pilot.pause()
        assert "decoded from iso8859-1" in facts(pilot)["cleaned"]
        assert "late" not in page._counts.values()
        text = screen_of(pilot).text
        assert text is not None
        assert text.encoding == "latin-1"
        tree = screen_of(pilot).query_one(TextTree)
        await until(pilot, lambda: len(tree.root.children) == 4)
        assert str(tree.root.children[2].label) == "french.txt  recent"
        await pilot.press("escape", "k")
        await until(pilot, lambda: facts(pilot)["text"] == "python, built in" and screen_of(pilot).text is not None)
        assert not page.query_one("#encoding", Input).value
        await pilot.press("j")
        await until(pilot, lambda: facts(pilot)["text"].endswith("french.txt") and screen_of(pilot).text is not None)
        assert "decoded from cp1252" in facts(pilot)["cleaned"]


async def test_tab_completes_a_path_once_its_completions_are_known_and_then_goes_on(
    app: LabApp, until: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = {typed: threading.Event() for typed in ("s", "f", "fa", "fab")}

    def late_completions(typed: str) -> list[str]:
        if typed in known:
            known[typed].wait(60)
        return ["fable.txt"]

    Path("fables-2.txt").touch()
    Path("tall tale.txt").write_text("Once there was a cat.\n" * 50)
    async with app.run_test(size=(80, 24)) as pilot:
        field = screen_of(pilot).query_one("#path-input", Input)
        with monkeypatch.context() as patch:
            patch.setattr("screens.data.choose_inputs.completions", late_completions)
            await pilot.press("e", "f", "tab", "a", "b", "tab")
            assert field.value == "fab"
            known["fab"].set()
            await until(pilot, lambda: field.value == "fable.txt" or app.focused is not field)
            assert app.focused is field
            known["fa"].set()
            known["f"].set()
            await pilot.press("ctrl+u", "s", "tab", "escape")
            known["s"].set()
            await pilot.app.workers.wait_for_complete()
            assert field.value == "s", "not where the field was left"
        await pilot.press("e", "ctrl+u", "f", "a")
        assert [key.key for key in screen_of(pilot).query_one(KeyBar)._keys()] == ["⏎", "tab", "esc"], (
            "no key that would be typed"
        )
        await until(pilot, lambda: hint(pilot) == "fable.txt  fables-2.txt")
        await pilot.press("tab")
        assert field.value == "fable"
        await pilot.press("s")
        await until(pilot, lambda: hint(pilot) == "fables-2.txt")
        await pilot.press("tab")
        assert field.value == "fables-2.txt"
        await until(pilot, lambda: hint(pilot) == "fables-2.txt")
        await pilot.press("tab")
        await pilot.pause()
        assert app.focused is not field
        field.value = "fable.txt 'tal"
        await until(pilot, lambda: hint(pilot) == "tall tale.txt")
        await pilot.press("escape")
        await type_path(pilot, "fable.txt 'tall tale.txt' nothing*")
        await until(pilot, lambda: hint(pilot) == "✗ Not read: nothing* matches no text file; choose another text.")
        await pilot.press("escape")
        await type_path(pilot, "fable.txt 'tall tale.txt'")
        await until(pilot, lambda: facts(pilot).get("files") == "2 documents")


async def test_n_waits_for_a_text_that_is_still_being_read_unless_the_cursor_moves_on_and_the_focus_stays(
    app: LabApp, until: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    go = hold_reading(monkeypatch, "python")
    async with app.run_test(size=(80, 24)) as pilot:
        page = screen_of(pilot).choose_page
        await until(pilot, lambda: page._facts is not None)
        await pilot.press("j", "n", "k")
        go.set()
        await until(pilot, lambda: facts(pilot)["text"] == "stories, built in" and page._facts is not None)
        assert app.current_mode == "data"
        await pilot.press("j", "n")
        await until(pilot, lambda: app.current_mode == "train")
        assert app.text_source == "python"
        await pilot.press("2")
        go = hold_reading(monkeypatch, "fable.txt")
        await type_path(pilot, "fable.txt")
        await until(pilot, lambda: facts(pilot)["text"] == "fable.txt")
        await pilot.press("escape", "n")
        assert "n" in {binding.binding.key for binding in app.screen.active_bindings.values() if binding.enabled}
        assert hint(pilot) == "Reading fable.txt …: it is used as soon as it has been read."
        assert facts(pilot)[""] == "reading …"
        assert app.current_mode == "data"
        go.set()
        await until(pilot, lambda: app.current_mode == "train")
        assert app.text_source == str(Path("fable.txt").absolute())
        await pilot.press("2")
        Path("tale.txt").write_text("Once there was a cat.\n" * 50)
        go = hold_reading(monkeypatch, "tale.txt")
        await type_path(pilot, "tale.txt")
        await until(pilot, lambda: facts(pilot)["text"] == "tale.txt")
        await pilot.press("escape", "e")
        go.set()
        await until(pilot, lambda: page._facts is not None)
        await pilot.pause()
        assert getattr(app.focused, "id", "") == "path-input", "a text that is read late takes the focus from nobody"


async def test_keys_and_clicks_turn_the_pages_and_escape_leads_back(app: LabApp, until: Any) -> None:
    async with app.run_test(size=(80, 24)) as pilot:
        screen = screen_of(pilot)
        bar = screen.query_one(PageBar)
        await until(pilot, lambda: screen.text is not None)
        first, *pages = screen.PAGES
        for key, page in (*(("]", page) for page in (*pages, first)), ("[", pages[-1])):
            await pilot.press(key)
            await pilot.pause()
            assert (screen.page, bar.current, bar.step) == (page.LINK.name, page.LINK.name, page.STEP)
            assert [type(part) for part in screen.query(DataPage) if part.display] == [page]
        await pilot.press("escape")
        await pilot.pause()
        assert screen.page == "choose"
        assert app.focused is screen.query_one("#texts")
        await pilot.click(bar, offset=(1 + len("▸choose◂  l"), 0))
        await pilot.pause()
        assert screen.page == "look"
        await pilot.press("e", "x", "o")
        assert screen.page == "choose"
        assert screen.query_one("#path-input", Input).value == "xo"


async def test_split_draws_as_many_windows_of_real_tokens_as_fit_shifted_by_one(app: LabApp, until: Any) -> None:
    async with app.run_test(size=(80, 24)) as pilot:
        await type_path(pilot, "fable.txt")
        await until(pilot, lambda: screen_of(pilot).text is not None)
        await pilot.press("escape", "[")
        await until(pilot, lambda: screen_of(pilot).query(SplitPage))
        page = screen_of(pilot).query_one(SplitPage)
        await until(pilot, lambda: page.tokens is not None)
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
        for size, windows in (((200, 60), 5), ((80, 24), 1)):
            await resize(pilot, *size)
            assert len([line for line in view._lines if line and line[0][0].startswith("window ")]) == windows
        await pilot.press("right", "v")
        await pilot.pause()
        assert row("input") == [str(id) for id in tokens.window(1, 64)][: len(row("input"))]
        await pilot.press("}", "{", "pagedown")
        assert view.top > 0
        assert page.window == 0, "the window itself has moved back"
        await pilot.press("c", "c")
        await until(pilot, lambda: page.tokens is not None and page.tokens.kind == "bytes")
        assert tokens.text is page.tokens.text  # type: ignore[union-attr]


async def test_marked_files_and_folders_are_documents_of_one_text(app: LabApp, until: Any) -> None:
    Path("more").mkdir()
    Path("more", "tale.txt").write_text("Once there was a cat.\n" * 50)
    Path("more", "picture.png").write_bytes(b"\x89PNG\0\0\0\0" * 100)
    async with app.run_test(size=(80, 24)) as pilot:
        tree = screen_of(pilot).query_one(TextTree)
        await until(pilot, lambda: len(tree.root.children[-1].children) == 2)
        await pilot.press("j", "j", "j", "m", "m")  # the folder more, then fable.txt
        await until(pilot, lambda: facts(pilot).get("files", "").startswith("2 documents"))
        assert tree.marked == (str(Path("more").absolute()), str(Path("fable.txt").absolute()))
        assert facts(pilot)["files"] == "2 documents; left out: 1 binary file"
        await pilot.press("k", "k", "k")
        assert facts(pilot)["files"].startswith("2 documents"), "the cursor looks for more files"
        await pilot.press("n")
        await until(pilot, lambda: app.current_mode == "train")
        assert app.text_source == "\n".join(tree.marked)
        await pilot.press("2", "j", "j", "j", "x")  # on fable.txt
        page = screen_of(pilot).query_one(ChoosePage)
        assert tree.marked == ()
        await until(pilot, lambda: "size" in facts(pilot))
        assert page.source == str(Path("fable.txt").absolute())
        assert "files" not in facts(pilot), "it alone is the text"
        assert not hint(pilot)
        await pilot.press("m")
        await until(pilot, lambda: hint(pilot).startswith("1 marked: "))
        await pilot.press("m")  # on the last line, where the cursor stays
        await until(pilot, lambda: not hint(pilot) and not tree.marked)
        assert page.source == str(Path("fable.txt").absolute())
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
        await pilot.press("j", "j")
        await until(pilot, lambda: hint(pilot).startswith("A folder: enter opens it"))
        for _ in range(2):
            await pilot.press("j", "l")
            await until(pilot, lambda: tree.cursor_node is not None and tree.cursor_node.children)
        await pilot.press("j", "enter")
        await until(pilot, lambda: app.focused is not None and app.focused.id == "use")
        assert facts(pilot)["text"] == str(Path("more", "deep", "tale.txt").absolute())
        await pilot.press("escape", "slash", *"tale")
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
        screen = screen_of(pilot)
        await until(pilot, lambda: screen.text is not None)
        await pilot.press(*TO_CLEAN)
        await until(pilot, lambda: screen.query(CleanPage))
        page = screen.query_one(CleanPage)
        page.rules = (*DEFAULT_RULES, "long-lines")
        await pilot.press("escape")
        await type_path(pilot, "long.txt")
        await until(pilot, lambda: "leaves nothing" in str(screen.query_one("#data-hint", Static).content))
        await pilot.press("escape", *TO_CLEAN)
        assert screen.text is None
        page.rules = DEFAULT_RULES
        await until(pilot, lambda: screen.text is not None and screen.text.source.endswith("long.txt"))


async def test_rules_answer_at_once_and_their_numbers_and_the_saved_text_follow(
    app: LabApp, until: Any, home: Path, monkeypatch: pytest.MonkeyPatch
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
        reply = await run_funnel_process(request, progress)
        measured.append(request.rules)
        await released.wait()
        return reply

    monkeypatch.setattr("screens.data.clean_page.run_funnel_process", held)
    async with app.run_test(size=(80, 24)) as pilot:
        await open_clean(pilot, until, "web.txt")
        await until(pilot, lambda: len(measured) == 1)
        await pilot.press(*TO_EMAILS, "x")
        screen, page, bar = screen_of(pilot), screen_of(pilot).query_one(CleanPage), screen_of(pilot).query_one(PageBar)
        assert page.rules == ("line-endings", "emails")
        drawn = page.query_one(RuleList)._lines[len(TO_EMAILS) + 1]
        assert "[x] e-mail addresses" in "".join(text for text, _ in drawn)
        release[0].set()
        await until(pilot, lambda: len(asked) == 2)
        assert bar.steps[2] == "tokens"  # the number of the rules before is not that of these
        release[1].set()
        await until(pilot, lambda: page.funnel is not None and bar.steps[2] != "tokens")
        assert page.funnel is not None
        assert page.funnel.steps[1].passages_changed == 20
        kept = page.funnel.kept_bytes
        tokens = count_tokens("web.txt", None, "bpe", default_vocabulary(DEFAULT_PRESET, kept), page.rules).tokens
        assert bar.steps[1:] == (f"cleaned {kept} B", f"tokens {tokens} bpe")
        await pilot.press(*BACK_FROM_CLEAN)
        await until(pilot, lambda: screen.text is not None and screen.text.facts.bytes == kept)
        await pilot.press("escape", *TO_CLEAN)
        await until(pilot, lambda: screen.page == "clean")
        await pilot.pause()
        assert bar.steps[1] == f"cleaned {kept} B"
        assert asked == [("line-endings",), ("line-endings", "emails")]
        await pilot.press("o")
        assert isinstance(app.screen, AskText)
        await pilot.press("enter")
        await until(pilot, Path("web.cleaned.txt").exists)
        assert b"email@example.com" in Path("web.cleaned.txt").read_bytes()
        await until(pilot, lambda: str(page.query_one("#clean-status", StatusLine).left).startswith("saved "))
        await pilot.press("o")
        app.screen.query_one(Input).value = "web.txt"
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, ConfirmDialog))
        await pilot.press("escape", "n")
        await until(pilot, lambda: app.current_mode == "train")
        assert app.text_cleaning == ("line-endings", "emails")
        assert Path("web.txt").read_bytes().startswith(b"Write to me@dogs.net.\r\n")


async def test_the_rule_with_the_largest_effect_comes_into_view_until_one_is_chosen(app: LabApp, until: Any) -> None:
    Path("web.txt").write_text("A line that stands here many times, word for word, and is long.\n" * 40)
    async with app.run_test(size=(80, 24)) as pilot:
        await open_clean(pilot, until, "web.txt")
        page = screen_of(pilot).query_one(CleanPage)
        listed = page.query_one(RuleList)
        await until(pilot, lambda: page.funnel is not None)
        assert listed.selected == 0, "nothing was taken"
        assert screen_of(pilot).query_one(PageBar).steps[:2] == ("text 2.6 kB", "cleaned"), "the size is said once"
        await pilot.press("a")
        await until(pilot, lambda: "duplicate lines" in str(page.query_one("#rule").border_title))
        shown = [listed.render_line(y).text for y in range(listed.window)]
        assert any("▌[x] duplicate lines" in line for line in shown), shown
        await pilot.press("k", "x")
        chosen = listed.selected
        await until(pilot, lambda: page.funnel is not None and len(page.funnel.steps) == len(RULES) - 1)
        await pilot.pause()
        assert listed.selected == chosen


async def test_the_funnel_of_a_text_is_not_that_of_the_same_file_read_otherwise(app: LabApp, until: Any) -> None:
    Path("web.txt").write_bytes("Zoë ran.\r\n".encode() * 40)
    async with app.run_test(size=(80, 24)) as pilot:
        await open_clean(pilot, until, "web.txt")
        screen, bar = screen_of(pilot), screen_of(pilot).query_one(PageBar)
        await until(pilot, lambda: bar.steps[:2] == ("text 440 B", "cleaned 400 B"))
        await pilot.press(*BACK_FROM_CLEAN)
        Path("web.txt").write_bytes("Zoë ran.\r\n".encode() * 50)
        await type_path(pilot, "web.txt")
        await until(pilot, lambda: bar.steps[:2] == ("text", "cleaned 500 B"))
        await pilot.press("escape", *TO_CLEAN)
        await until(pilot, lambda: bar.steps[:2] == ("text 550 B", "cleaned 500 B"))
        await pilot.press(*BACK_FROM_CLEAN)
        screen.query_one("#encoding", Input).value = "latin-1"
        screen.query_one("#encoding", Input).focus()
        await pilot.press("enter")
        await until(pilot, lambda: bar.steps[:2] == ("text", "cleaned 600 B"))
        await pilot.press("escape", *TO_CLEAN)
        await until(pilot, lambda: bar.steps[:2] == ("text 650 B", "cleaned 600 B"))


async def test_rules_switched_faster_than_they_are_shown_or_while_the_text_is_read_anew_are_all_switched(
    app: LabApp, until: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And a cleaned text that is being saved would be lost."""

    async def held(*_: Any) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr("screens.data.clean_page.run_funnel_process", held)
    async with app.run_test(size=(80, 24)) as pilot:
        await open_clean(pilot, until, "fable.txt")
        screen, page = screen_of(pilot), screen_of(pilot).query_one(CleanPage)
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


async def test_an_old_count_takes_no_new_one_away_and_a_used_text_leaves_the_keys_to_its_page(app: LabApp, until: Any) -> None:
    Path("web.txt").write_bytes(b"The big dog ran.\r\n" * 20)
    async with app.run_test(size=(80, 24)) as pilot:
        await type_path(pilot, "web.txt")
        screen = screen_of(pilot)
        await until(pilot, lambda: screen.query_one(PageBar).steps[2].endswith(" bpe"))
        page, words = screen.choose_page, screen.query_one(PageBar).steps[2]
        old = TokenCount("bpe", 300, 1, exact=True)
        page.post_message(ChoosePage.Counted((page.source, page.read_encoding, ("emails",)), "bpe", old))
        await pilot.pause()
        assert screen.query_one(PageBar).steps[2] == words
        for pages, expected in (((), TextTree), ((*TO_CLEAN, "j"), RuleList)):
            await pilot.press("escape", *pages, "n")
            await until(pilot, lambda: app.current_mode == "train")
            await pilot.press("escape", "2")
            await until(pilot, lambda: app.current_mode == "data")
            assert isinstance(app.focused, expected)


def test_the_number_of_rules_is_told_in_the_singular_too(home: Path) -> None:
    words = [dict(fact_lines(read_facts("fable.txt"), {}, rules))["cleaned"] for rules in ((), ("nfc",), ("nfc", "emails"))]
    rest = "Clean shows what each takes"
    assert words == ["not at all: Clean shows the rules", f"by 1 rule: {rest}", f"by 2 rules: {rest}"]


async def test_a_working_folder_that_is_gone_is_left_for_the_user_s_home(
    app: LabApp, until: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone, home = tmp_path / "gone", tmp_path / "you"
    gone.mkdir()
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(gone)
    gone.rmdir()
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: screen_of(pilot).query_one(TextTree).folder == home)
        await type_path(pilot, "nothing*")
        await until(pilot, lambda: "matches no text file" in hint(pilot))


async def test_tokens_are_counted_in_a_process_so_that_typing_need_not_wait(
    data_app: DataApp, until: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def here(*asked: object) -> TokenCount:
        raise AssertionError("counted in the process of the screen")

    monkeypatch.setattr(text_statistics, "_count_tokens", here)
    Path("fable.txt").write_text("The fox ran.\n" * 400)
    async with data_app(text=str(Path("fable.txt").absolute())).run_test(size=(80, 24)) as pilot:
        page = screen_of(pilot).choose_page
        await until(pilot, lambda: len(page._counts) == 2)
        assert page._counts["gpt2"] == "2,000 as gpt2"


async def test_page_down_scrolls_every_part_that_scrolls(data_app: DataApp, until: Any) -> None:
    async with data_app(text="stories:50kb").run_test(size=(80, 24)) as pilot:
        screen = screen_of(pilot)
        await until(pilot, lambda: screen.text is not None)
        for page, part in ((CleanPage, RuleList), (LookPage, LookView), (SplitPage, SplitView)):
            await pilot.app.run_action(f"page('{page.LINK.name}')", screen)
            await until(pilot, lambda page=page: screen.query(page) and screen.current.display)
            view = screen.query_one(part)
            await until(pilot, lambda view=view: view.has_focus and view.extent[0] > view.window)
            await pilot.press("pagedown", "pagedown")
            await until(pilot, lambda view=view: view.top > 0)
            await pilot.press("home", "home")
            assert view.top == 0
