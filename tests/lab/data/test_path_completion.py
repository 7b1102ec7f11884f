from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.data.path_completion import common_start, completed_name, completions, typed_line, typed_source
from lab.data.text_source import joined_source


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("alpha.txt", "alpine.md", "my notes.txt", "it's.txt", "[a].txt", ".hidden", "two words/story.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)


NAMES = ("[a].txt", "alpha.txt", "alpine.md", "it\\'s.txt", "my\\ notes.txt", "two\\ words/")


@pytest.mark.parametrize(
    ("typed", "lines"),
    [
        ("al", ["alpha.txt", "alpine.md"]),
        ("st", ["stories"]),
        (".h", [".hidden"]),
        ("no/such/", []),
        ("alpha.txt al", ["alpha.txt alpha.txt", "alpha.txt alpine.md"]),
        ("alpha.txt st", ["alpha.txt stories"]),
        ("alpha.txt my", ["alpha.txt my\\ notes.txt"]),
        ("alpha.txt 'my", ["alpha.txt 'my notes.txt"]),
        ('"my no', ['"my notes.txt']),
        ("my no", ["my notes.txt"]),
        ("alpha.txt my\\ n", ["alpha.txt my\\ notes.txt"]),
        ("alpha.txt it", ["alpha.txt it\\'s.txt"]),
        ("- two\\ words/", ["- two\\ words/story.txt"]),
        ("two words/", ["two words/story.txt"]),
        ("al*", ["alpha.txt", "alpine.md"]),
        ("stories *.t", ["stories [a].txt", "stories alpha.txt", "stories it\\'s.txt", "stories my\\ notes.txt"]),
        ("two*", ["two words/"]),
        ("[a", ["[a].txt"]),
        ("**", []),
        ("a\0b", []),
        ("alpha.txt x\0", []),
        ("~nobody/x y", []),
        ("alpha.txt ", [f"alpha.txt {name}" for name in NAMES]),
    ],
)
def test_the_last_path_of_a_line_is_completed(typed: str, lines: list[str]) -> None:
    assert completions(typed) == lines


@pytest.mark.parametrize("typed", ["al", "two words/", ".h"])
def test_an_absolute_path_is_completed_as_the_relative_one(tmp_path: Path, typed: str) -> None:
    assert completions(f"{tmp_path}/{typed}") == [f"{tmp_path}/{name}" for name in completions(typed)]


def test_the_common_start_is_all_that_can_be_completed() -> None:
    starts = {(): "", ("one",): "one", ("alpha.txt", "alpine.txt"): "alp", ("a", "ab"): "a", ("x", "y"): ""}
    assert {names: common_start(list(names)) for names in starts} == starts


def test_a_line_is_shown_by_the_name_that_completes_it() -> None:
    shown = {"alpha.txt my": "my notes.txt", "my": "my notes.txt", "- two": "two words/", "- two\\ words/": "story.txt"}
    assert {typed: completed_name(line) for typed in shown for line in completions(typed)} == shown


@pytest.mark.parametrize(
    ("typed", "sources"),
    [
        (" my notes.txt ", ["my notes.txt"]),
        ("'my notes.txt' alpine.md", ["my notes.txt", "alpine.md"]),
        ("my\\ notes.txt", ["my notes.txt"]),
        ("alpha.txt *.md - stories:5MB", ["alpha.txt", "*.md", "-", "stories:5MB"]),
        ("alpha.txt nots.txt", ["alpha.txt", "nots.txt"]),
        ("'unfinished quote", ["unfinished quote"]),
        ("it's.txt", ["it's.txt"]),
        ("", []),
        ("  ", []),
    ],
)
def test_a_line_stands_for_sources(typed: str, sources: list[str]) -> None:
    assert typed_source(typed) == "\n".join(sources)


@given(
    st.lists(
        st.one_of(st.text(" '\"\\ab*é-", min_size=1, max_size=6), st.sampled_from(["my notes.txt", "it's.txt", "-"])), min_size=1
    )
)
def test_a_source_is_typed_by_its_line(sources: list[str]) -> None:
    source = joined_source(sources)
    line = typed_line(source)
    assert "\n" not in line
    if len(sources) == 1 or any(each in ("-", "my notes.txt", "it's.txt") for each in sources):
        assert typed_source(line) == source
