"""`llmlab notes`, in this process."""

import json
from pathlib import Path

import pytest

from lab.cli.command_registry import run
from lab.inspect.prompt_history import last_prompt, remember
from lab.learner.notes import add_note, notes_folder, read_note
from lab.views.screen_state import ScreenState
from tests.fixture_types import EmptyRun


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LLMLAB_HOME", str(tmp_path))
    return tmp_path


def test_notes_are_listed_with_place_and_first_line_and_damaged_ones_with_the_reason(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["notes"]) == 0
    assert "ctrl+o" in capsys.readouterr().out
    add_note(home, "# Heads\n\nmore", "Inspect · demo", ScreenState(mode="inspect", run="demo"))
    (notes_folder(home) / "bad.md").write_bytes(b"\xff")
    assert run(["notes"]) == 0
    header, *lines = capsys.readouterr().out.splitlines()
    assert header.split() == ["written", "place", "note"]
    assert sorted(line[18:].split("  ")[-1] for line in lines) == ["Heads", "damaged: bad.md is not text in UTF-8"]
    assert run(["notes", "--json"]) == 0
    found = {note["problem"]: note for note in json.loads(capsys.readouterr().out)}
    assert found[""]["text"] == "# Heads\n\nmore"
    assert found[""]["state"]["run"] == "demo"
    assert run(["notes", "--path"]) == 0
    assert capsys.readouterr().out.strip() == str(notes_folder(home))


def test_notes_of_any_time_are_listed(home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lab.learner.notes._changed", lambda path: 1e17)
    notes_folder(home).mkdir(parents=True)
    (notes_folder(home) / "late.md").write_text("late")
    (notes_folder(home) / "early.md").write_text("---\ncreated: 0001-01-02T12:00:00Z\n---\n\nearly\n")
    assert run(["notes"]) == 0
    late, early = capsys.readouterr().out.splitlines()[1:]
    assert late.startswith("9999-12-31 ")
    assert early.startswith("0001-01-0")


def test_notes_and_the_last_prompt_follow_a_run_that_a_command_renames(home: Path, empty_run: EmptyRun) -> None:
    empty_run("tale")
    path = add_note(home, "x", "Inspect · tale", ScreenState(mode="inspect", run="tale")).path
    remember(home, "The big", "tale")
    assert run(["rename", "tale", "story"]) == 0
    note = read_note(path)
    assert note.state is not None
    assert (note.place, note.state.run) == ("Inspect · story", "story")
    assert (last_prompt(home, "tale"), last_prompt(home, "story")) == ("", "The big")
    assert run(["delete", "story", "--yes"]) == 0
    assert last_prompt(home, "story") == ""
