"""`llmlab notes`, in this process."""

from pathlib import Path

import pytest

from lab.inspect.prompt_history import last_prompt, remember
from lab.lessons.learner_notes import add_note, notes_path
from tests.fixture_types import Call, EmptyRun


def test_notes_are_printed_and_the_path_of_their_file(home: Path, llmlab: Call) -> None:
    assert "ctrl+o" in llmlab("notes").out
    add_note(home, "Inspect · demo", "# Heads\n\nmore")
    assert llmlab("notes").out == notes_path(home).read_text()
    assert llmlab("notes").out.endswith(" · Inspect · demo\n\n# Heads\n\nmore\n")
    assert llmlab("notes", "--path").out.strip() == str(notes_path(home))


def test_the_file_of_the_path_has_the_notes_of_an_earlier_llmlab(home: Path, llmlab: Call) -> None:
    (home / ".learn" / "notes").mkdir(parents=True)
    (home / ".learn" / "notes" / "a.md").write_text("early")
    assert "early" in Path(llmlab("notes", "--path").out.strip()).read_text()


def test_notes_that_are_no_file_are_one_sentence(home: Path, llmlab: Call) -> None:
    notes_path(home).mkdir(parents=True)
    found = llmlab("notes")
    assert found.code != 0
    assert "is a folder, not a regular file" in found.err


def test_the_last_prompt_follows_a_run_that_a_command_renames(home: Path, empty_run: EmptyRun, llmlab: Call) -> None:
    empty_run("tale")
    remember(home, "The big", "tale")
    assert llmlab("rename", "tale", "story").code == 0
    assert (last_prompt(home, "tale"), last_prompt(home, "story")) == ("", "The big")
    assert llmlab("delete", "story", "--yes").code == 0
    assert last_prompt(home, "story") == ""


def test_the_path_is_told_where_nothing_can_be_written_and_nothing_is_made_for_it(
    home: Path, llmlab: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    llmlab("notes", "--path")
    assert not notes_path(home).parent.exists()
    (home / "file").touch()
    monkeypatch.setenv("LLMLAB_HOME", str(home / "file" / "home"))
    assert llmlab("notes", "--path").out.strip() == str(home / "file" / "home" / ".learn" / "notes.md")
