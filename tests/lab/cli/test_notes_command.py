"""`llmlab notes`, in this process."""

import json
from pathlib import Path

import pytest

from lab.inspect.prompt_history import last_prompt, remember
from lab.lessons.learner.notes import add_note, notes_folder, read_note
from lab.views.screen_state import ScreenState
from tests.fixture_types import Call, EmptyRun


def test_notes_are_listed_with_place_and_first_line_and_damaged_ones_with_the_reason(home: Path, llmlab: Call) -> None:
    assert "ctrl+o" in llmlab("notes").out
    add_note(home, "# Heads\n\nmore", "Inspect · demo", ScreenState(mode="inspect", run="demo"))
    (notes_folder(home) / "bad.md").write_bytes(b"\xff")
    header, *lines = llmlab("notes").out.splitlines()
    assert header.split() == ["written", "place", "note"]
    assert sorted(line[18:].split("  ")[-1] for line in lines) == ["Heads", "damaged: bad.md is not text in UTF-8"]
    found = {note["problem"]: note for note in json.loads(llmlab("notes", "--json").out)}
    assert found[""]["text"] == "# Heads\n\nmore"
    assert found[""]["state"]["run"] == "demo"
    assert llmlab("notes", "--path").out.strip() == str(notes_folder(home))


def test_notes_of_any_time_are_listed(home: Path, llmlab: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lab.lessons.learner.notes._modification_time", lambda path: 1e17)
    notes_folder(home).mkdir(parents=True)
    (notes_folder(home) / "late.md").write_text("late")
    (notes_folder(home) / "early.md").write_text("---\ncreated: 0001-01-02T12:00:00Z\n---\n\nearly\n")
    late, early = llmlab("notes").out.splitlines()[1:]
    assert late.startswith("9999-12-31 ")
    assert early.startswith("0001-01-0")


def test_notes_and_the_last_prompt_follow_a_run_that_a_command_renames(home: Path, empty_run: EmptyRun, llmlab: Call) -> None:
    empty_run("tale")
    path = add_note(home, "x", "Inspect · tale", ScreenState(mode="inspect", run="tale")).path
    remember(home, "The big", "tale")
    assert llmlab("rename", "tale", "story").code == 0
    note = read_note(path)
    assert note.state is not None
    assert (note.place, note.state.run) == ("Inspect · story", "story")
    assert (last_prompt(home, "tale"), last_prompt(home, "story")) == ("", "The big")
    assert llmlab("delete", "story", "--yes").code == 0
    assert last_prompt(home, "story") == ""
