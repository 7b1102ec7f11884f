"""`llmlab data`: the funnel in the shell, the rules explained, the cleaned text saved."""

import json
from pathlib import Path

import pytest
from rich.cells import cell_len

from lab.cli.commands.data_command import describe
from lab.data import corpus
from lab.data.cleaning.measure_funnel import measure_funnel
from lab.data.cleaning.rule_registry import RULES
from lab.data.statistics.text_profile import profile_of
from lab.data.text_source import open_corpus
from tests.fixture_types import Call

TEXT = "Text of the page.\r\n\r\n\r\n\r\nAll rights reserved.\r\nMore \x1b]text.\r\n"
CLEAN = "Text of the page.\n\nMore \x1b]text.\n"


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "page.txt"
    path.write_bytes(TEXT.encode("utf-8-sig"))
    return path


def test_the_funnel_as_json_adds_up(llmlab: Call, text: Path) -> None:
    found = json.loads(llmlab("data", text, "--clean", "boilerplate,blank-lines", "--json").out)
    assert found["cleaning"] == ["line-endings", "boilerplate", "blank-lines"]
    assert found["file_bytes"] == found["raw_bytes"] + 3 == len(TEXT) + 3
    edges = [found["raw_bytes"], *(step["bytes_out"] for step in found["steps"])]
    assert edges == [len(TEXT), len(TEXT) - 6, len(TEXT) - 27, len(CLEAN)]
    assert found["kept_bytes"] == len(CLEAN)
    (excerpt,) = found["excerpts"]["boilerplate"]
    assert [excerpt["before"][start:stop] for start, stop in excerpt["taken"]] == ["All rights reserved.\n"]
    assert found["reasons"]["boilerplate"] == [{"reason": "copyright line", "passages": 1, "bytes": 21}]


def test_a_text_is_cleaned_once_for_the_funnel_the_split_and_the_file(
    llmlab: Call, text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    times = []
    clean = corpus.clean_documents
    monkeypatch.setattr(corpus, "clean_documents", lambda *each: times.append(each[1]) or clean(*each))
    llmlab("data", text, "--clean", "all", "--save", tmp_path / "saved.txt")
    assert [rules for rules in times if rules] == [tuple(rule.name for rule in RULES)]


def test_the_funnel_in_the_shell_has_a_bar_for_each_rule(llmlab: Call, text: Path) -> None:
    lines = llmlab("data", text, "--clean", "boilerplate,blank-lines").out.splitlines()
    bars = {line.split()[0]: line.count("█") for line in lines if "█" in line}
    assert list(bars) == ["raw", "line-endings", "boilerplate", "blank-lines"]
    assert sorted(bars.values(), reverse=True) == list(bars.values())
    assert bars["raw"] == 24
    assert any("byte-order mark" in line for line in lines)
    (taken,) = [line for line in lines if line.startswith("  − ") and "[All rights reserved.␊]" in line]
    assert "More" in taken


def test_the_cleaned_text_is_saved_once_and_never_over_its_source(llmlab: Call, text: Path, tmp_path: Path) -> None:
    target = tmp_path / "clean.txt"
    assert llmlab("data", text, "--clean", "boilerplate,blank-lines", "--save", target).code == 0
    assert target.read_bytes() == CLEAN.encode()
    llmlab("data", text, "--save", target).assert_mistake("exists already", "--force")
    assert llmlab("data", text, "--save", target, "--force").code == 0
    assert target.read_bytes() == TEXT.replace("\r\n", "\n").encode()
    llmlab("data", text, "--save", text, "--force").assert_mistake("read from")
    llmlab("data", text, "--save", "").assert_mistake("--save needs the path of a file")
    several = tmp_path / "several"
    done = llmlab("data", text, "stories:10kB", "--save", several)
    assert f"Saved the cleaned text in the folder {several}, a file each" in " ".join(done.out.split())
    assert [path.name for path in sorted(several.iterdir())] == ["1-page.txt", "2-stories"]
    llmlab("data", text, "stories:10kB", "--save", several, "--force").assert_mistake("exists already", "new folder")
    assert text.read_bytes() == TEXT.encode("utf-8-sig")


def test_mistakes_are_one_sentence(llmlab: Call, text: Path, tmp_path: Path) -> None:
    llmlab("data", text, "--clean", "boilerplat").assert_mistake("boilerplat", "did you mean boilerplate")
    llmlab("data").assert_mistake("--clean list")
    llmlab("data", tmp_path / "no").assert_mistake("does not exist")
    word = tmp_path / "word.txt"
    word.write_text("x" * 2000)
    done = llmlab("data", word, "--clean", "long-lines", "--save", tmp_path / "out")
    assert (done.code, "leaves nothing" in done.err) == (2, True)
    assert not (tmp_path / "out").exists()


def test_the_rules_are_listed_with_their_explanations(llmlab: Call) -> None:
    out = " ".join(llmlab("data", "--clean", "list").out.split())
    for rule in RULES:
        assert f"{rule.name} " in out
        assert rule.explanation in out
        assert rule.pipelines in out
    assert [rule["name"] for rule in json.loads(llmlab("data", "--clean", "list", "--json").out)] == [rule.name for rule in RULES]


def test_a_narrow_terminal_gets_lines_broken_at_spaces_and_bars_that_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = tmp_path / "a.txt"
    text.write_text("The big dog ran home and the cat sat on the mat.\n" * 50)
    *_, profile = profile_of(open_corpus(str(text), None, None, ()), lambda _: False)
    funnel = measure_funnel(str(text), None, ("line-endings", "blank-lines", "duplicate-lines"))
    wide = describe(profile, funnel)
    assert max(map(cell_len, wide.split("\n"))) > 80
    for room, has_bars in ((60, False), (70, True)):
        monkeypatch.setattr("lab.cli.output.line_room", lambda room=room: room)
        monkeypatch.setattr("lab.cli.commands.data_command.line_room", lambda room=room: room)
        narrow = describe(profile, funnel)
        assert max(map(cell_len, narrow.split("\n"))) <= room
        assert ("█" in narrow) == has_bars
        assert narrow.count("\n") > wide.count("\n")
    facts = [" ".join(shown[: shown.index("bytes  taken")].split()) for shown in (wide, narrow)]
    assert facts[0] == facts[1], "no word is broken"
