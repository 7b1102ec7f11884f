"""The process that imports: downloads from a hub made of a folder, with progress, and what a cancelled one leaves."""

import asyncio
import hashlib
import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from lab.core.errors import UserError
from lab.exchange.hugging_face import import_run, model_folder
from lab.exchange.hugging_face.import_run import ImportRequest, run_import_process
from lab.runs.run_folder import Run

REVISION = "0123456789" * 4


class Hub:
    """The Hugging Face Hub as far as a download needs it: one repository, whose weights come at once, get stuck half-way, or
    break off there once."""

    def __init__(self, folder: Path) -> None:
        self.gets_stuck = self.breaks_off = False
        self.ranges: list[str] = []
        """Parts of the weights that were asked for, where less than all was."""
        self.is_stuck, self.go_on = threading.Event(), threading.Event()
        hub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_HEAD(self) -> None:
                self.do_GET()

            def do_GET(self) -> None:
                path = self.path.partition("?")[0]
                if "/resolve/" in path:
                    content = (folder / path.rpartition("/")[2]).read_bytes()
                    self._send(content, {"X-Repo-Commit": REVISION, "ETag": f'"{hashlib.sha256(content).hexdigest()}"'})
                elif "/tree/" in path:
                    listed = [{"type": "file", "path": each.name, "size": each.stat().st_size} for each in folder.iterdir()]
                    self._send(json.dumps([each | {"oid": "0"} for each in listed]).encode(), {})
                elif path.startswith("/api/models/openai-community/gpt2"):
                    names = [{"rfilename": each.name} for each in folder.iterdir()]
                    self._send(json.dumps({"id": "gpt2", "sha": REVISION, "siblings": names}).encode(), {})
                else:
                    self.send_error(404)

            def _send(self, content: bytes, headers: dict[str, str]) -> None:
                wanted = self.headers["Range"]
                if wanted and self.command == "GET":
                    hub.ranges.append(wanted)
                    start = int(wanted.removeprefix("bytes=").rstrip("-"))
                    headers = headers | {"Content-Range": f"bytes {start}-{len(content) - 1}/{len(content)}"}
                    content = content[start:]
                self.send_response(206 if "Content-Range" in headers else 200)
                for name, value in (headers | {"Content-Length": str(len(content))}).items():
                    self.send_header(name, value)
                self.end_headers()
                if self.command == "HEAD":
                    return
                if hub.breaks_off and self.path.endswith("model.safetensors"):
                    hub.breaks_off = False
                    self.wfile.write(content[: len(content) // 2])
                    self.close_connection = True
                elif hub.gets_stuck and self.path.endswith("model.safetensors"):
                    self.wfile.write(content[: len(content) // 2])
                    self.wfile.flush()
                    hub.is_stuck.set()
                    hub.go_on.wait()
                    self.close_connection = True
                else:
                    self.wfile.write(content)

            def log_message(self, *arguments: object) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self.thread.start()

    def close(self) -> None:
        self.go_on.set()
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def hub(make_folder: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    pytest.importorskip("huggingface_hub")
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    hub = Hub(make_folder())
    monkeypatch.setenv("HF_ENDPOINT", hub.address)
    yield hub
    hub.close()


def test_a_cancelled_download_leaves_nothing_and_the_next_one_becomes_a_run(hub: Hub, home: Path, tmp_path: Path) -> None:
    words: list[str] = []

    async def cancelled() -> None:
        hub.gets_stuck = True
        task = asyncio.create_task(run_import_process(request, lambda done, total: None, words.append))
        await asyncio.to_thread(hub.is_stuck.wait, 60)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    request = ImportRequest("gpt2", str(home))
    asyncio.run(cancelled())
    assert words == [f"Downloading openai-community/gpt2 (548 MB) into {tmp_path / 'cache'}."]
    assert not list((tmp_path / "cache").rglob("*.incomplete"))
    assert not home.exists()
    hub.gets_stuck = False
    name = asyncio.run(run_import_process(request, lambda done, total: None, words.append))
    imported = Run(home / name).config.imported
    assert imported is not None
    assert (name, imported.source, imported.revision) == ("gpt2", "gpt2", REVISION)
    assert words[-1] == "Reading the weights of gpt2."


IN_SMALL_PIECES = (
    "import huggingface_hub.constants; huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE = 1000;"
    "from lab.exchange.hugging_face.model_folder import hub_model; hub_model('gpt2')"
)


def test_a_download_that_breaks_off_goes_on_with_the_piece_where_it_broke(hub: Hub, tmp_path: Path) -> None:
    pytest.importorskip("huggingface_hub", minversion="1.33", reason="the extra `hub` asks for 1.33")
    hub.breaks_off = True
    subprocess.run([sys.executable, "-c", IN_SMALL_PIECES], check=True, capture_output=True)
    (whole,) = (tmp_path / "cache").rglob("model.safetensors")
    assert whole.read_bytes() == (tmp_path / "tiny" / "model.safetensors").read_bytes()
    assert hub.ranges == [f"bytes={whole.stat().st_size // 2 // 1000 * 1000}-"]


def test_progress_is_what_has_arrived_since_the_download_began(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(import_run, "SECONDS_BETWEEN_LOOKS", 0.001)
    monkeypatch.setattr(model_folder, "hugging_face_hub", lambda: tmp_path)
    blobs = tmp_path / "models--openai-community--gpt2" / "blobs"
    blobs.mkdir(parents=True)
    (blobs / "older").write_bytes(bytes(500))
    told: list[tuple[int, int]] = []
    looked = threading.Event()

    def progress(done: int, total: int) -> None:
        told.append((done, total))
        looked.set()

    def until(done: int) -> None:
        while told[-1:] != [(done, total)]:
            assert looked.wait(10)
            looked.clear()

    model, is_over = model_folder.HUB_MODELS["gpt2"], threading.Event()
    total = model.download_bytes
    looking = threading.Thread(target=import_run.report_download, args=(model, progress, is_over), daemon=True)
    looking.start()
    until(0)
    (blobs / "x.incomplete").write_bytes(bytes(1000))
    until(1000)
    is_over.set()
    looking.join(10)
    assert not looking.is_alive()


def test_memory_that_runs_out_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_DISABLE_PROGRESS_BARS", "1")  # which the process sets, too
    monkeypatch.setattr("signal.signal", lambda number, handler: None)
    for error, expected in (
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), UserError),
        (RuntimeError(), RuntimeError),
    ):

        def fails(*_: object, error: Exception = error, **__: object) -> Run:
            raise error

        monkeypatch.setattr(import_run, "import_run", fails)
        with pytest.raises(expected):
            import_run._work(ImportRequest("gpt2", str(tmp_path)), lambda done, total: None)
