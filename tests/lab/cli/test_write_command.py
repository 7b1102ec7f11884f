import re
from pathlib import Path

import msgspec
import pytest

from lab.exercises.check_result import CheckResult
from tests.fixture_types import Call
from tests.lab.conftest import Done


def called(llmlab: Call, code: int, *arguments: str) -> Done:
    done = llmlab(*arguments)
    assert done.code == code, done.err
    return done


RIGHT = """
def count_pairs(ids):
    counts = {}
    for pair in zip(ids, ids[1:]):
        counts[pair] = counts.get(pair, 0) + 1
    return counts
"""


def test_an_exercise_is_begun_checked_and_listed_as_passing_until_it_is_changed(llmlab: Call, home: Path) -> None:
    assert "`llmlab write 1` shows the next." in llmlab("write").out
    assert msgspec.json.decode(llmlab("write", "--json").out)[0]["title"] == "Count pairs"
    assert "def count_pairs" in msgspec.json.decode(llmlab("write", "1", "--json").out)["template"]
    begun = llmlab("write", "1").out
    assert "Count pairs" in begun
    assert "Of [1, 2, 1, 2] it is {(1, 2): 2, (2, 1): 1}." in begun, "what it has to do"
    file = home / ".learn" / "write" / "01_count_pairs.py"
    assert "raise NotImplementedError" in file.read_text()
    file.write_text(RIGHT)
    assert "✓ 1. Count pairs" in called(llmlab, 0, "write", "1", "--check").out
    assert "✓ passes" in llmlab("write").out
    file.write_text(RIGHT.replace("ids[1:]", "ids[2:]"))
    assert "✓ passes" not in llmlab("write").out
    assert "ids[i + 1]" in llmlab("write", "1", "--hint", "1").out
    llmlab("write", "1", "--anew")
    assert "raise NotImplementedError" in file.read_text()


def test_files_that_were_never_checked_are_checked_before_they_are_used_and_without_one_that_passes_an_export_says_so(
    llmlab: Call, home: Path, tmp_path: Path
) -> None:
    folder = home / ".learn" / "write"
    llmlab("write", "2")
    (folder / "01_count_pairs.py").write_text(RIGHT)
    (folder / "05_embed.py").write_text("def embed(ids, wte, wpe):\n    return wte[ids]\n")
    exported = called(llmlab, 0, "write", "--export", str(tmp_path / "my_gpt.py")).out
    assert "None of yours has passed a check yet: all its functions are the lab's plain solutions." in exported
    assert "None of yours has passed a check yet" in (tmp_path / "my_gpt.py").read_text()
    used = called(llmlab, 0, "write", "--use")
    assert used.err.splitlines() == [
        "Checked first: ✓ 1. Count pairs",
        "Checked first: ✗ 5. Token plus position, which does not pass",
    ], "the second is a template"
    assert "✓ Your GPT-2\nYours in it, 0 of 15: none yet." in used.out
    assert "These pass, and nothing in it calls them: count_pairs." in used.out
    assert "Yours: 1. The others are the lab's." in llmlab("write", "--export", str(tmp_path / "my_gpt.py")).out


def test_a_folder_is_checked_as_a_table_and_as_json_and_what_passes_is_imported(
    llmlab: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    imported = list[dict[str, Path]]()

    def found(name: str, *_: object, mine: dict[str, Path], **__: object) -> CheckResult:
        imported.append(dict(mine))
        return CheckResult(name, "" if name == "count_pairs" else "It is not written yet.")

    monkeypatch.setattr("lab.exercises.check.check_file", found)
    first, *others = [tmp_path / f"{name}.py" for name in ("01_count_pairs", "02_learn_merges", "03_encode")]
    for file in (first, *others):
        file.write_text("")
    assert "✓" in called(llmlab, 0, "write", "1", "--check", str(first)).out
    assert "✗ 2. Learn a vocabulary\nIt is not written yet." in called(llmlab, 1, "write", "2", "--check", str(others[0])).out
    imported.clear()
    shown = called(llmlab, 1, "write", "--all", "--check", str(tmp_path)).out
    assert re.findall(r"^ *(\d).*([✓✗])", shown, re.M) == [("1", "✓"), ("2", "✗"), ("3", "✗")], shown
    assert imported == [{}, {"count_pairs": first}, {"count_pairs": first}], "one that fails is not imported"
    told = msgspec.json.decode(called(llmlab, 1, "write", "--all", "--check", str(tmp_path), "--json").out)
    assert [(each["name"], each["passes"]) for each in told] == [
        ("count_pairs", True),
        ("learn_merges", False),
        ("encode", False),
    ]
    assert told[1]["problem"] == "It is not written yet."


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--check", "x.py"], "Say which exercise it is"),
        (["--all"], "--all checks a folder"),
        (["--all", "--check", "."], "has no file of an exercise"),
        (["16"], "15"),
        (["1", "--check", "missing.py"], "There is no file missing.py"),
        (["1", "--check"], "`llmlab write 1` begins yours."),
        (["1", "--check", "--run", "nothing"], "nothing"),
    ],
)
def test_what_cannot_be_checked_is_said_in_a_line(llmlab: Call, arguments: list[str], words: str) -> None:
    assert words in called(llmlab, 2, "write", *arguments).err
