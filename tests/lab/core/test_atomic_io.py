"""Writers of one file at the same time."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from lab.core.atomic_io import write_atomic


def test_threads_of_one_process_can_write_one_file_at_once(tmp_path: Path) -> None:
    path = tmp_path / "file"
    contents = [letter * 100_000 for letter in (b"a", b"b")]
    with ThreadPoolExecutor(2) as threads:
        for _ in range(50):
            list(threads.map(lambda content: write_atomic(path, content), contents))
            assert path.read_bytes() in contents
    assert list(tmp_path.iterdir()) == [path]
