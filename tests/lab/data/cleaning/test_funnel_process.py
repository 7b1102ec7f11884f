"""The process that measures a funnel or saves the cleaned text."""

import asyncio
from pathlib import Path

import pytest

from lab.core.errors import UserError
from lab.data.cleaning.measure_funnel import FunnelRequest, measure_funnel, run_funnel_process
from lab.data.text_source import open_corpus

RULES = ("line-endings", "emails", "blank-lines")


def run(request: FunnelRequest) -> object:
    reply = asyncio.run(run_funnel_process(request, lambda done, total: None))
    return reply.funnel if reply.saved is None else reply.saved


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "text.txt"
    path.write_bytes("Write to me@dogs.net.\r\n\r\n\r\n\r\nZoë 🙂\n".encode() * 20)
    return path


def test_the_funnel_is_that_of_this_process(text: Path) -> None:
    assert run(FunnelRequest(str(text), None, RULES)) == measure_funnel(str(text), None, RULES)


def test_the_saved_text_is_the_cleaned_one_and_replaces_a_file_whole(text: Path, tmp_path: Path) -> None:
    saved = tmp_path / "saved.txt"
    saved.write_text("before")
    assert run(FunnelRequest(str(text), None, RULES, str(saved), replace=True)) == saved.stat().st_size
    assert saved.read_text(encoding="utf-8") == "".join(open_corpus(str(text), cleaning=RULES).chunks())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["saved.txt", "text.txt"]


def test_a_problem_is_one_sentence_and_leaves_the_file_alone(text: Path, tmp_path: Path) -> None:
    saved = tmp_path / "saved.txt"
    saved.write_text("before")
    for path, replace, problem in ((saved, False, "exists already"), (text, True, "is a file that the text is read from")):
        with pytest.raises(UserError, match=problem):
            run(FunnelRequest(str(text), None, RULES, str(path), replace))
    assert text.stat().st_size == len("Write to me@dogs.net.\r\n\r\n\r\n\r\nZoë 🙂\n".encode() * 20)
    text.write_bytes(b"\0\1\2" * 100)
    with pytest.raises(UserError, match="is not text"):
        run(FunnelRequest(str(text), None, RULES, str(saved)))
    assert saved.read_text() == "before"
