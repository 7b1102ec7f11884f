from pathlib import Path

import msgspec
import pytest

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
    begun = llmlab("write", "1").out
    assert "Count pairs" in begun
    assert "Of [1, 2, 1, 2] it is {(1, 2): 2, (2, 1): 1}." in begun, "what it has to do"
    file = home / ".learn" / "write" / "01_count_pairs.py"
    assert "raise NotImplementedError" in file.read_text()
    shown = called(llmlab, 1, "write", "1", "--check").out
    assert "✗ 1. Count pairs" in shown
    assert "It is not written yet." in shown
    file.write_text(RIGHT)
    assert "✓ 1. Count pairs" in called(llmlab, 0, "write", "1", "--check").out
    assert "✓ passes" in llmlab("write").out
    file.write_text(RIGHT.replace("ids[1:]", "ids[2:]"))
    assert "✓ passes" not in llmlab("write").out
    assert "ids[i + 1]" in llmlab("write", "1", "--hint", "1").out
    llmlab("write", "1", "--anew")
    assert "raise NotImplementedError" in file.read_text()


def test_a_folder_is_checked_as_a_table_and_as_json_and_what_passes_is_imported(llmlab: Call, tmp_path: Path) -> None:
    (tmp_path / "01_count_pairs.py").write_text(RIGHT)
    assert "✓" in called(llmlab, 0, "write", "--all", "--check", str(tmp_path)).out
    merges = (
        "from count_pairs import count_pairs\ndef learn_merges(data, number):\n    return [count_pairs.__code__.co_filename]\n"
    )
    (tmp_path / "02_learn_merges.py").write_text(merges)
    first, second = msgspec.json.decode(called(llmlab, 1, "write", "--all", "--check", str(tmp_path), "--json").out)
    assert (first["name"], first["passes"]) == ("count_pairs", True)
    assert not second["passes"]
    assert "01_count_pairs.py" in second["problem"]


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
