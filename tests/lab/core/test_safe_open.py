"""Files of a run are opened by one function: regular files only, no link followed, nothing waited for, the size bounded."""

import os
import socket
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryFile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.core.errors import DamagedFileError, UserError
from lab.core.safe_open import (
    is_real_folder,
    last_text_line,
    lines_backwards,
    open_for_lock,
    open_regular,
    open_to_append,
    open_to_overwrite,
    open_to_replace,
    read_regular,
)

pytestmark = pytest.mark.skipif(os.name == "nt", reason="named pipes and links")


def link(path: Path) -> None:
    target = path.with_name("target")
    target.write_bytes(b"kept")
    path.symlink_to(target)


def dangling(path: Path) -> None:
    path.symlink_to(path.with_name("nowhere"))


def device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def bind(path: Path) -> None:
    here = os.getcwd()
    os.chdir(path.parent)  # the name of a socket may have a hundred bytes only
    try:
        socket.socket(socket.AF_UNIX).bind(path.name)
    finally:
        os.chdir(here)


KINDS: list[tuple[Callable[[Path], None], str]] = [
    (os.mkfifo, "a named pipe"),
    (os.mkdir, "a folder"),
    (link, "a link"),
    (dangling, "a link"),
    (device, "a link"),
    (bind, "a socket"),
]
WAYS: list[Callable[[Path], object]] = [
    open_regular,
    lambda path: read_regular(path, 100),
    open_to_append,
    open_for_lock,
    open_to_replace,
    open_to_overwrite,
]


@pytest.mark.parametrize(("make", "word"), KINDS)
def test_refuses_what_is_no_regular_file_without_waiting_and_names_it(
    tmp_path: Path, make: Callable[[Path], None], word: str
) -> None:
    path = tmp_path / "metrics.jsonl"
    make(path)
    before = set(os.listdir(tmp_path))
    for at, way in enumerate(WAYS):
        with pytest.raises(DamagedFileError) as refused:
            way(path)
        assert str(refused.value) == f"{path} is {word}, not a regular file.", at
        assert isinstance(refused.value, UserError)
        assert set(os.listdir(tmp_path)) == before, ("a dangling link was written through", at)
    assert not (tmp_path / "target").exists() or (tmp_path / "target").read_bytes() == b"kept"


def test_a_device_is_refused_where_links_are_followed(tmp_path: Path) -> None:
    with pytest.raises(DamagedFileError, match="/dev/zero is a device"):
        open_regular("/dev/zero", follow=True)
    device(tmp_path / "text")
    with pytest.raises(DamagedFileError, match="a device"):
        read_regular(tmp_path / "text", 10, follow=True)
    link(tmp_path / "other")
    assert read_regular(tmp_path / "other", 10, follow=True) == b"kept"


def test_a_file_beyond_its_bound_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    with path.open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(DamagedFileError, match=r"has 1,099,511,627,776 bytes, of 1,000 that it may have"):
        read_regular(path, 1000)
    path.write_bytes(b"x" * 1000)
    assert read_regular(path, 1000) == b"x" * 1000


def test_missing_files_and_denied_ones_are_said_as_the_system_says(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        open_regular(tmp_path / "missing")
    with pytest.raises(FileNotFoundError):
        open_to_overwrite(tmp_path / "missing")
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(NotADirectoryError):
        open_regular(tmp_path / "file" / "inside")


def test_appending_replacing_and_writing_over_leave_what_their_names_say(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    for way, expected in ((open_to_append, b"one"), (open_to_append, b"oneone"), (open_to_replace, b"one")):
        descriptor = way(path)
        os.write(descriptor, b"one")
        os.close(descriptor)
        assert path.read_bytes() == expected
    descriptor = open_to_overwrite(path)
    os.write(descriptor, b"O")
    os.close(descriptor)
    assert path.read_bytes() == b"One"


def test_a_link_to_a_folder_is_no_folder_of_the_run(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    assert [is_real_folder(tmp_path / name) for name in ("real", "link", "missing")] == [True, False, False]


@given(st.lists(st.binary(max_size=5).filter(lambda line: b"\n" not in line), max_size=12), st.integers(6, 9))
def test_lines_come_backwards_whatever_the_block(lines: list[bytes], block: int) -> None:
    with pytest.MonkeyPatch.context() as patch, TemporaryFile() as file:
        file.write(b"".join(line + b"\n" for line in lines) + b"torn")
        file.flush()
        patch.setattr("lab.core.safe_open.BLOCK_BYTES", block)
        found = list(lines_backwards(file))
    wanted = lines[::-1]
    assert found == wanted or (found == wanted[:-1] and wanted[-1] == b""), "an empty first line may be left out"


def test_the_last_line_of_a_log_is_the_last_that_is_not_blank(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"from before\nthe reason \n\n")
    with path.open("rb") as file:
        assert last_text_line(file) == "the reason"
        assert last_text_line(file, len("from before\nthe reason \n")) == ""
        assert last_text_line(file, most=3) == "", "only so many bytes are read"
