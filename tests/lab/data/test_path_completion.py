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
        ("alpi", ["alpine.md"]),
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
        ("alpha.txt none", []),
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


@pytest.mark.parametrize(
    ("names", "start"), [([], ""), (["one"], "one"), (["alpha.txt", "alpine.txt"], "alp"), (["a", "ab"], "a"), (["x", "y"], "")]
)
def test_the_common_start_is_all_that_can_be_completed(names: list[str], start: str) -> None:
    assert common_start(names) == start


def test_a_line_is_shown_by_the_name_that_completes_it() -> None:
    assert [completed_name(line) for line in completions("alpha.txt my")] == ["my notes.txt"]
    assert [completed_name(line) for line in completions("my")] == ["my notes.txt"]
    assert [completed_name(line) for line in completions("- two")] == ["two words/"]
    assert [completed_name(line) for line in completions("- two\\ words/")] == ["story.txt"]


@pytest.mark.parametrize(
    ("typed", "sources"),
    [
        ("alpha.txt", ["alpha.txt"]),
        (" my notes.txt ", ["my notes.txt"]),
        ("'my notes.txt' alpine.md", ["my notes.txt", "alpine.md"]),
        ("my\\ notes.txt", ["my notes.txt"]),
        ("alpha.txt *.md - stories:5MB", ["alpha.txt", "*.md", "-", "stories:5MB"]),
        ("my nots.txt", ["my nots.txt"]),
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
