from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lab.core.atomic_io import write_atomic


def test_threads_of_one_process_can_write_one_file_at_once(tmp_path: Path) -> None:
    path = tmp_path / "file"
    contents = [letter * 100_000 for letter in (b"a", b"b")]
    with ThreadPoolExecutor(2) as threads:
        for _ in range(50):
            list(threads.map(lambda content: write_atomic(path, content), contents))
            assert path.read_bytes() in contents
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("name", ["a" * 255, "\N{GRINNING FACE}" * 63], ids=["ASCII", "emoji"])
def test_a_file_of_the_longest_name_can_be_written(name: str, tmp_path: Path) -> None:
    write_atomic(tmp_path / name, b"a")
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_file_that_cannot_be_replaced_leaves_no_temporary_one(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.mkdir()
    for _ in range(2):
        with pytest.raises(IsADirectoryError):
            write_atomic(path, b"a")
    assert list(tmp_path.iterdir()) == [path]
