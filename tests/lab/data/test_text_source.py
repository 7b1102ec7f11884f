import hashlib
import io
import os
import subprocess
import sys
import threading
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lab.core.errors import UserError
from lab.data import text_encoding
from lab.data.corpus import Corpus, Document, preview
from lab.data.text_chunks import BORDER_WINDOW, CHUNK_CHARACTERS
from lab.data.text_source import open_corpus

TEXTS = st.one_of(
    st.text(alphabet=" \n\t\r\x0b\x1c\x85\xa0\u2028\u3000ab's.,。²٣犬é\u0301—", max_size=120),
    st.text(max_size=60),
    st.lists(st.sampled_from(["\n\n", " ", "\n", "aa", ".", "'s", "a.", "  ", "\t", "\x1c"]), max_size=60).map("".join),
)


def write(tmp_path: Path, data: bytes) -> str:
    path = tmp_path / "some notes.txt"
    path.write_bytes(data)
    return str(path)


def text_of(source: str, encoding: str | None = None) -> str:
    return "".join(open_corpus(source, encoding).chunks())


@settings(max_examples=40)  # each in five encodings
@given(TEXTS.filter(lambda text: text and "\0" not in text and not text.startswith("\ufeff")), st.integers(1, 9))
def test_the_text_is_what_python_reads(tmp_path_factory: pytest.TempPathFactory, text: str, block: int) -> None:
    path = tmp_path_factory.mktemp("text") / "text"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(text_encoding, "READ_BYTES", block)
        for written in ("utf-8", "utf-8-sig", "utf-16", "utf-32", "utf-16-le"):
            path.write_bytes(text.encode(written))
            with path.open(encoding=written) as file:  # universal newlines
                expected = file.read()
            corpus = open_corpus(str(path), "utf-16-le" if written == "utf-16-le" else None)
            assert "".join(corpus.chunks()) == expected
            encoded, facts = expected.encode(), corpus.measure()
            assert (facts.bytes, facts.characters) == (len(encoded), len(expected))
            assert facts.sha256 == hashlib.sha256(encoded).hexdigest()


def test_names_and_sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = write(tmp_path, b"hello\n")
    monkeypatch.chdir(tmp_path)
    corpus = open_corpus("some notes.txt")
    assert (corpus.name, corpus.source, corpus.encoding) == ("some notes", source, "utf-8")
    assert (corpus.bytes, corpus.measure().characters, corpus.entropy_bits_per_byte) == (6, 6, None)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert open_corpus("~/some notes.txt").source == source
    before = corpus.measure()
    Path(source).write_bytes(b"other")
    assert corpus.measure() == before, "a text is measured once"


def test_progress_goes_to_the_end(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    source = write(tmp_path, "é line\r\n".encode("utf-16") * 100_000)
    open_corpus(source).measure(lambda done, total: seen.append((done, total)))
    assert len(seen) > 2
    assert seen == sorted(seen)
    assert seen[-1] == (os.path.getsize(source),) * 2


def test_a_preview_reads_no_more_than_it_shows(tmp_path: Path) -> None:
    class Endless:
        read = 0

        def __call__(self) -> Iterable[tuple[str, int]]:
            while True:
                self.read += 1
                yield "The dog ran.\n" * 1000, 0

    endless = Endless()
    corpus = Corpus("endless", "endless", "utf-8", [Document("endless", 0, endless)])
    assert preview(corpus, 25) == "The dog ran.\nThe dog ran."
    assert endless.read * 13_000 < CHUNK_CHARACTERS + BORDER_WINDOW + 20_000
    assert len(preview(corpus, 600_000)) == 600_000


def test_a_large_file_is_never_held_as_a_whole(tmp_path: Path) -> None:
    """The limit on memory is one that the file does not fit in."""
    path = tmp_path / "large.txt"
    with path.open("wb") as file:
        for _ in range(64):
            file.write(b"The big dog ran fast. " * 47_662 + b"\n")
    code = (
        "import sys; from lab.data.text_source import open_corpus\n"
        "import resource; now = int(open('/proc/self/statm').read().split()[0]) * 4096\n"
        "resource.setrlimit(resource.RLIMIT_AS, (now + 48_000_000,) * 2)\n"
        "corpus = open_corpus(sys.argv[1]); print(corpus.bytes, sum(map(len, corpus.chunks())))"
    )
    if not Path("/proc/self/statm").exists():
        pytest.skip("memory can be limited on Linux only")
    ran = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, check=False)
    assert ran.stderr == ""
    assert ran.stdout.split() == [str(path.stat().st_size)] * 2


def message(source: str, encoding: str | None = None) -> str:
    with pytest.raises(UserError) as caught:
        for _ in open_corpus(source, encoding).chunks():
            pass
    text = str(caught.value)
    assert "\n" not in text
    assert text.endswith(".")
    return text


def test_each_mistake_is_one_clear_sentence(tmp_path: Path) -> None:
    assert "does not exist; give the path of a text file, or stories or python" in message(str(tmp_path / "none.txt"))
    assert "is a folder" in message(str(tmp_path))
    for nothing in (b"", b"\xef\xbb\xbf", b"\xff\xfe"):
        assert "is empty" in message(write(tmp_path, nothing))
    for encoding in (None, "latin-1"):
        assert "NUL" in message(write(tmp_path, b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"), encoding)
    assert "device" in message("/dev/null")
    assert "a NUL character" in message("a\0b")
    assert "Not a directory" in message(write(tmp_path, b"x") + "/inside")
    assert "name too long" in message("x" * 5000)
    for encoding in ("klingon", "rot13"):
        assert "not a text encoding" in message("python", encoding)
    assert "asks for an empty text" in message("stories:0")


def test_a_file_without_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = write(tmp_path, b"secret")
    Path(source).chmod(0)
    if os.access(source, os.R_OK):  # the superuser may read anything

        def refuse(*_: object, **__: object) -> None:
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr(text_encoding, "open_regular", refuse)
    assert "may not be read" in message(source)


def test_an_error_of_the_disk_further_on(tmp_path: Path) -> None:
    def read() -> Iterable[tuple[str, int]]:
        yield "hello", 5
        raise OSError(5, "Input/output error")

    corpus = Corpus("bad", "/bad", "utf-8", [Document("bad", 10, read)])
    with pytest.raises(UserError, match=r"/bad cannot be read \(Input/output error\)"):
        list(corpus.chunks())


def test_standard_input_can_be_read_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO("café\r\n".encode())))
    corpus = open_corpus("-")
    assert (corpus.name, corpus.source, corpus.bytes) == ("stdin", "-", 6)
    assert [[*corpus.chunks()] for _ in range(2)] == [["café\n"]] * 2
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"")))
    with pytest.raises(UserError, match=r"^standard input is empty; choose another text\.$"):
        open_corpus("-")


def test_a_pipe_can_be_read_twice(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    with pytest.raises(UserError, match="is a named pipe, which can be read only once"):
        open_corpus(str(path))
    writer = threading.Thread(target=path.write_bytes, args=(b"hello\n",), daemon=True)
    corpus = open_corpus(str(path), on_wait=writer.start)  # it begins to write when it is said that it is waited for
    writer.join()
    assert ("".join(corpus.chunks()), corpus.bytes) == ("hello\n", 6)


def test_neither_numpy_nor_tiktoken_is_needed_to_open_a_text(tmp_path: Path) -> None:
    code = (
        "import sys; from lab.data.text_source import open_corpus; open_corpus(sys.argv[1]).sha256\n"
        "print({'numpy', 'tiktoken', 'torch'} & {*sys.modules})"
    )
    ran = subprocess.run([sys.executable, "-c", code, write(tmp_path, b"hello")], capture_output=True, text=True, check=True)
    assert ran.stdout == "set()\n"
