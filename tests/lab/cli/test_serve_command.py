"""`llmlab serve`: for this machine only, behind a secret, the lab in a browser, and a clean end."""

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

import psutil
import pytest

from lab.cli.commands import serve_command
from lab.core.errors import UserError
from models.installation import install_command
from tests.e2e.screen_grid import ScreenGrid
from tests.fixture_types import Call
from tests.lab.exchange.headless_browser import HeadlessBrowser, find_browser

BROWSER = find_browser()
PATIENCE = 240.0
SECONDS_TO_BE_GONE = 30.0
"""Far more than a lab may take to quit, far less than it needs for a million keys."""


SOON = 0.3
"""Seconds that labs may take to quit, of most servers here."""


@dataclass
class Served:
    process: subprocess.Popen[str]
    address: str
    said: str


@contextmanager
def serving(folder: Path, seconds_to_quit: float | None = None) -> Iterator[Served]:
    """A server with a home in this folder, as the command starts it; its labs may take so many seconds to quit."""
    pytest.importorskip("textual_serve")
    environment = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
    environment |= {"LLMLAB_HOME": str(folder / "home"), "PYTHONUNBUFFERED": "1", "LLMLAB_WARM_UP": "0"}
    begin = ["-m", "lab.cli"]
    if seconds_to_quit is not None:
        hurry = f"from lab.cli import lab_server as it; it.SECONDS_TO_QUIT, it.HEARTBEAT_SECONDS = {seconds_to_quit}, {PATIENCE}"
        begin = ["-c", f"{hurry}; from lab.cli import main; raise SystemExit(main())"]
    command = [sys.executable, "-P", *begin, "serve", "--port", "0", "--host", "Hub.example"]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    said = "".join(process.stdout.readline() for _ in range(4))
    found = re.search(r"http://127\.0\.0\.1:\d+/\S+/", said)
    assert found, said
    try:
        yield Served(process, found[0], said)
    finally:
        process.kill()
        process.communicate()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server for several tests, which says nothing but where it is."""
    with serving(tmp_path_factory.mktemp("served"), SOON) as served:
        yield served
        served.process.send_signal(signal.SIGINT)
        assert served.process.communicate(timeout=PATIENCE) == ("", "")
        assert served.process.returncode == 130


def status(address: str, headers: dict[str, str] | None = None) -> int:
    try:
        with urllib.request.urlopen(urllib.request.Request(address, headers=headers or {}), timeout=PATIENCE) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def test_only_this_machine_and_only_with_the_secret(served: Served) -> None:
    port = urlsplit(served.address).port
    listening = [each.laddr for each in psutil.Process(served.process.pid).net_connections("tcp") if each.status == "LISTEN"]
    assert [(each.ip, each.port) for each in listening] == [("127.0.0.1", port)]
    assert f"ssh -L {port}:127.0.0.1:{port} " in served.said
    with urllib.request.urlopen(served.address, timeout=PATIENCE) as answer:
        page = answer.read().decode()
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    assert not re.search(r'(?:src|href|url\()=?["\'](?:https?:)?//', page)
    outside = f"http://127.0.0.1:{port}"
    assert [status(f"{outside}{path}") for path in ("/", "/ws", "/wrong/", "/static/js/textual.js")] == [404] * 4
    assert status(f"{served.address}static/js/textual.js") == 200


class DrawnScreen:
    """The screen that is drawn in a browser from now on."""

    def __init__(self, browser: HeadlessBrowser) -> None:
        self._browser, self._grid = browser, ScreenGrid()
        browser.received.clear()

    def until(self, *words: str) -> None:
        """Wait until all these words are on it."""

        def has_them() -> bool:
            while self._browser.received:
                self._grid.feed(self._browser.received.pop(0))
            return all(each in self._grid.text() for each in words)

        self._browser.until(has_them, lambda: f"{words} on the screen:\n{self._grid.text()}")


@pytest.mark.skipif(BROWSER is None, reason="no Chromium")
def test_in_a_browser_the_lab_appears_keys_work_and_a_page_whose_link_was_lost_finds_its_lab_again(tmp_path: Path) -> None:
    assert BROWSER
    with serving(tmp_path) as served, HeadlessBrowser(BROWSER, tmp_path / "profile", size=(1200, 800)) as browser:
        screen = DrawnScreen(browser)

        def page_has(name: str) -> bool:
            return bool(browser.evaluate(f"document.body.classList.contains('{name}')"))

        server = psutil.Process(served.process.pid)
        port = urlsplit(served.address).port
        assert port
        with Tunnel(port) as tunnel:
            browser.open_address(served.address.replace(f":{port}/", f":{tunnel.port}/").removesuffix("/"))
            screen.until("1 Home", "6,000 / 6,000")
            browser.type("2")  # the page has the keys as it opens
            screen.until("short stories that the lab makes up")
            labs = server.children(recursive=True)
            assert labs
            tunnel.cut()
            browser.until(lambda: page_has("-lost"), lambda: "a page that knows that its link is lost")
            screen = DrawnScreen(browser)
            tunnel.open()
            browser.until(lambda: not page_has("-lost"), lambda: "a page that has its link again")
            screen.until("short stories that the lab makes up")
            assert server.children() == labs[:1], "the same lab; below it helpers come and go"
            browser.type("q")  # the first lab ends, and the next one with its server
            browser.until(lambda: page_has("-closed"), lambda: "a page whose lab has quit")
            assert psutil.wait_procs(labs, PATIENCE)[1] == []
            hosts = {urlsplit(address).netloc for address in browser.requests if address.startswith("http")}
            assert hosts == {f"127.0.0.1:{tunnel.port}"}
        screen = DrawnScreen(browser)
        browser.requests.clear()
        browser.open_address(served.address)
        screen.until("1 Home", "6,000 / 6,000")
        labs = server.children(recursive=True)
        served.process.kill()
        assert labs
        assert psutil.wait_procs(labs, PATIENCE)[1] == []
        hosts = {urlsplit(address).netloc for address in browser.requests if address.startswith("http")}
        assert hosts == {urlsplit(served.address).netloc}
        assert [words for words in browser.problems if "Security Policy" in words or "exception" in words.lower()] == []


class Tunnel:
    """A port that leads to another, as that of `ssh -L` does, and that can be cut."""

    def __init__(self, to: int) -> None:
        self._to = to
        self._listening = socket.socket()
        self._listening.bind(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        self._links: list[socket.socket] = []
        self._is_cut = False
        self._listening.listen()

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.cut()
        self._listening.close()

    def cut(self) -> None:
        self._is_cut = True
        for link in self._links:
            with suppress(OSError):
                link.shutdown(socket.SHUT_RDWR)

    def open(self) -> None:
        self._is_cut = False

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near = self._listening.accept()[0]
                if self._is_cut:
                    near.close()
                    continue
                far = socket.create_connection(("127.0.0.1", self._to))
                self._links += (near, far)
                for pair in ((near, far), (far, near)):
                    threading.Thread(target=self._copy, args=pair, daemon=True).start()

    def _copy(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while chunk := source.recv(1 << 16):
                target.sendall(chunk)
            target.shutdown(socket.SHUT_WR)


HEADERS: tuple[tuple[dict[str, str], int], ...] = (
    ({}, 200),
    ({"Host": "localhost:9000", "Origin": "http://localhost:9000"}, 200),
    ({"Host": "evil.example"}, 403),
    ({"Host": "["}, 403),
    ({"Origin": "http://evil.example"}, 403),
    ({"Host": "localhost:9000", "Origin": "http://localhost:9001"}, 403),
    ({"Origin": "null"}, 403),
    ({"Origin": "http://["}, 403),
    ({"Host": "hub.example", "Origin": "https://hub.example"}, 200),
    ({"Origin": "https://hub.example"}, 200),
)


def test_only_under_its_own_names_and_to_its_own_page(served: Served) -> None:
    assert [(headers, status(served.address, headers)) for headers, _ in HEADERS] == [*HEADERS]


@asynccontextmanager
async def opened_page(served: Served) -> AsyncIterator[tuple[Any, psutil.Process]]:
    """The web socket of a page whose lab has begun to draw, and that lab."""
    aiohttp = pytest.importorskip("aiohttp")
    server = psutil.Process(served.process.pid)
    others = server.children(recursive=True)
    async with aiohttp.ClientSession() as session, session.ws_connect(f"{served.address}ws?width=80&height=24") as page:
        assert (await page.receive(PATIENCE)).data
        [lab] = [each for each in server.children(recursive=True) if each not in others]
        yield page, lab


async def has_its_answer(page: Any) -> bool:
    """Whether the next message of the page that is no drawing answers its ping."""
    await page.send_json(["ping", "5"])
    while (message := await page.receive(PATIENCE)).type.name == "BINARY":
        pass
    return bool(message.json() == ["pong", "5"])


async def are_gone(*labs: psutil.Process) -> bool:
    return not (await asyncio.to_thread(psutil.wait_procs, labs, SECONDS_TO_BE_GONE))[1]


async def test_neither_junk_nor_many_megabytes_end_a_page_or_its_lab_but_its_end_does_even_now(served: Served) -> None:
    junk = ("not json", "", "[" * 100_000, "NaN", "1e999", '{"a": 1}', '["stdin", 5]', '["stdin", "\\ud800"]', '["ping"]')
    deep = "[" * 900 + "]" * 900
    async with opened_page(served) as (page, lab):
        for message in (*junk, f'["ping", {deep}]', f'["resize", {{"width": {deep}, "height": {"9" * 6000}}}]'):
            await page.send_str(message)
        assert await has_its_answer(page)
        await page.send_json(["stdin", "a" * 6_000_000])
        assert await has_its_answer(page)
        assert lab.is_running()
    assert await are_gone(lab)


async def test_a_stopped_lab_ends_with_its_page(served: Served) -> None:
    async with opened_page(served) as (_, lab):
        lab.suspend()
    assert await are_gone(lab)


async def test_a_flooded_lab_and_a_stopped_one_end_with_their_server(tmp_path: Path) -> None:
    with serving(tmp_path, SOON) as served:
        async with opened_page(served) as (page, flooded), opened_page(served) as (other_page, stopped):
            stopped.suspend()
            for each in (page, other_page):
                for _ in range(700):
                    await each.send_json(["stdin", "a" * 4096])
            served.process.send_signal(signal.SIGTERM)
            assert await asyncio.to_thread(served.process.wait, SECONDS_TO_BE_GONE) == 130
        assert psutil.wait_procs([flooded, stopped], 1.0)[1] == []


def test_all_of_a_paste_is_handed_over_and_the_start_of_any_other_input() -> None:
    pytest.importorskip("textual_serve")
    from lab.cli.lab_server import MOST_TYPED, PASTE_END, PASTE_START, bounded_input

    long = "a\x1b[1m" * MOST_TYPED
    pasted = f"{PASTE_START}{long}{PASTE_END}"
    assert bounded_input(pasted) == pasted
    assert bounded_input("q") == "q"
    for evading in (long, pasted + long, f"{PASTE_START}{PASTE_END}{pasted}"):
        assert bounded_input(evading) == evading[:MOST_TYPED]


async def test_a_page_that_comes_back_before_its_lab_has_started_gets_it_without_a_word(served: Served) -> None:
    aiohttp = pytest.importorskip("aiohttp")
    async with aiohttp.ClientSession() as session:
        pages = await asyncio.gather(*(session.ws_connect(f"{served.address}ws?lab=one") for _ in range(2)))
        first, _ = await asyncio.wait([asyncio.create_task(page.receive()) for page in pages], return_when="FIRST_COMPLETED")
        assert [message.result().type.name for message in first] == ["BINARY"]
        for page in pages:
            await page.close()


def test_no_port_a_taken_one_and_a_missing_extra_are_a_sentence(
    served: Served, llmlab: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = urlsplit(served.address).port
    assert port
    with pytest.raises(UserError, match=rf"Port {port} cannot be used .*--port"):
        serve_command._listen(port)
    llmlab("serve", "--port", "99999999").assert_mistake("'--port': it must be at most 65,535, not 99999999.")
    monkeypatch.setitem(sys.modules, "textual_serve", None)
    monkeypatch.delitem(sys.modules, "lab.cli.lab_server", raising=False)
    llmlab("serve", "--port", "0").assert_mistake(install_command("web"))


def test_what_no_host_is_called_is_a_sentence(llmlab: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("textual_serve")

    async def interrupted(server: object, listening: object, say_where: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("lab.cli.lab_server.LabServer.serve", interrupted)
    for host in ("", "http://hub.example", "hub.example:8443", "hub.example/lab", "a b", "\x1b[31m"):
        llmlab("serve", "--port", "0", "--host", host).assert_mistake("is not the name of a host; --host takes one such as")
    assert llmlab("serve", "--port", "0", "--host", "::1", "--host", "hub-1.example").code == 130
