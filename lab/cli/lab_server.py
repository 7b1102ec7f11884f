"""A web server with one page: the lab in a terminal emulator, each page with a lab process of its own.

The emulator (xterm.js) and the process are textual-serve's. Its own server is not used: it answers whoever reaches the port, and
its page asks another host for a font.
"""

import asyncio
import contextlib
import importlib.resources
import json
import os
import secrets
import shlex
import signal
import socket
import sys
from asyncio.subprocess import Process
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import msgspec
import textual_serve
from aiohttp import WSMsgType, web
from aiohttp.web import WebSocketResponse
from textual_serve.app_service import AppService
from textual_serve.download_manager import DownloadManager

from lab.core.safe_open import JSON_ERRORS

OPEN_LAB = [sys.executable, "-P", "-c", "from screens.app import run; run()"]
COMMAND = f"exec {shlex.join(OPEN_LAB)}"
"""Without `exec` the shell would be the process that is ended, and the lab would live on."""
SECONDS_TO_QUIT = 3.0
"""Seconds that a lab may take to quit before it is killed."""
MOST_WAITING = 1 << 20
"""Bytes that the lab has not read yet, above which nothing more is sent to it."""
MOST_TYPED = 4096
"""Characters of a message that is no paste: each is a key to the lab, which needs a minute for a million."""
PASTE_START, PASTE_END = "\x1b[200~", "\x1b[201~"


class LabProcess(AppService):
    """A lab in a process of its own; `end` must be awaited after `start`."""

    def __init__(self, page: WebSocketResponse, downloads: DownloadManager) -> None:
        super().__init__(
            COMMAND, write_bytes=self._to_page, write_str=self._to_page, close=self.quit_page, download_manager=downloads
        )
        self.page = page
        self.has_quit = False
        self._changed = asyncio.Event()

    def attach(self, page: WebSocketResponse) -> None:
        """Draw on this page from now on, and on no other."""
        self.page = page
        self._changed.set()
        self._changed = asyncio.Event()

    async def wait_for_page(self, seconds: float) -> None:
        """Wait until another page is attached, or the lab has quit, or the time is up."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._changed.wait(), seconds)

    async def run(self) -> None:
        await super().run()
        await self.quit_page()

    async def quit_page(self) -> None:
        self.has_quit = True
        self._changed.set()
        await self.page.close()

    async def _to_page(self, data: bytes | str) -> None:
        with contextlib.suppress(ConnectionResetError):  # the link is lost
            await (self.page.send_str(data) if isinstance(data, str) else self.page.send_bytes(data))

    async def end(self) -> None:
        """Ask the lab to quit, and kill it if it still lives `SECONDS_TO_QUIT` later, or if this is cancelled."""
        process = self._process
        if process is None:
            return
        quitting = asyncio.create_task(self._quit(process))
        try:
            await asyncio.wait([quitting], timeout=SECONDS_TO_QUIT)
        finally:
            with contextlib.suppress(ProcessLookupError):  # it has quit
                process.kill()
        await quitting

    async def _quit(self, process: Process) -> None:
        """Ask the lab to quit, and wait until it has. This is not to be cancelled: `AppService.run` would only end earlier."""
        await self.stop()
        await process.wait()

    async def send_bytes(self, data: bytes) -> bool:
        return self._send(b"D", data)

    async def send_meta(self, data: dict[str, str | int | bool | None]) -> bool:
        return self._send(b"M", json.dumps(data).encode())

    def _send(self, kind: Literal[b"D", b"M"], payload: bytes) -> bool:
        """Send a packet without waiting until it is read, so that the page's end is seen. False if dropped, as before `start`."""
        if self._stdin is None or self.stdin.is_closing() or self.stdin.transport.get_write_buffer_size() > MOST_WAITING:
            return False
        self.stdin.write(self.encode_packet(kind, payload))
        return True


def bounded_input(text: str) -> str:
    """The text of a paste, or the first `MOST_TYPED` characters of any other: a terminal brackets what is pasted."""
    is_paste = text.startswith(PASTE_START) and text.find(PASTE_END) == len(text) - len(PASTE_END)
    return text if is_paste else text[:MOST_TYPED]


STATIC = Path(textual_serve.__file__).parent / "static"
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; font-src 'self'; "
    "img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}
"""The page fetches from this host alone, and tells no other host the secret."""
HEARTBEAT_SECONDS = 15.0
SECONDS_TO_CLOSE = 8.0
"""Seconds that the pages may take to close at the server's end: more than a lab may take to quit."""
MOST_BYTES = 64 << 20
"""Longest message of a page, such as a long paste."""
SECONDS_TO_RETURN = 3600.0
"""Seconds that a lab waits for its page once their link is lost, as where a computer sleeps."""
LINK_ENDS = (WSMsgType.CLOSING, WSMsgType.CLOSED, WSMsgType.ERROR)
LOOPBACK_NAMES = {"127.0.0.1", "localhost", "::1"}
MOST_CELLS = 1000
"""Largest width and height of a terminal that a page may ask for, in cells."""


class LabServer:
    """Serves the lab below a secret path; any other address is not found."""

    def __init__(self, secret: str, hosts: Sequence[str] = ()) -> None:
        """`hosts` are the names of proxies that hand on what they are asked for."""
        self._secret, self._hosts = secret, {*LOOPBACK_NAMES, *map(str.lower, hosts)}
        self._files = importlib.resources.files(__package__)
        self._labs: dict[str, LabProcess] = {}
        self._downloads = DownloadManager()

    async def serve(self, listening: socket.socket, when_ready: Callable[[], None]) -> None:
        """Serve until SIGINT or SIGTERM, then quit the labs of all pages."""
        app = web.Application(middlewares=[self._guard])
        root = f"/{self._secret}"
        app.router.add_get(root, lambda request: _redirect(f"{self._secret}/"))
        app.router.add_get(f"{root}/", lambda request: self._send("page.html", "text/html"))
        app.router.add_get(f"{root}/page.js", lambda request: self._send("page.js", "text/javascript"))
        app.router.add_get(f"{root}/ws", self._run_lab)
        app.router.add_static(f"{root}/static", STATIC)
        app.on_shutdown.append(self._end_labs)
        # The lab's own text is UTF-8 in a browser, whatever the locale of this terminal.
        os.environ["PYTHONIOENCODING"] = "utf-8"
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=SECONDS_TO_CLOSE)
        await runner.setup()
        try:
            await web.SockSite(runner, listening).start()
            ended = asyncio.Event()
            for number in (signal.SIGINT, signal.SIGTERM):
                asyncio.get_running_loop().add_signal_handler(number, ended.set)
            when_ready()
            await ended.wait()
        finally:
            await runner.cleanup()

    async def _send(self, name: str, kind: str) -> web.StreamResponse:
        return web.Response(text=self._files.joinpath(name).read_text(encoding="utf-8"), content_type=kind)

    @web.middleware
    async def _guard(self, request: web.Request, handler: Any) -> web.StreamResponse:
        """Refuse a request to another host's name, which a web page may have led here, and one that another host's page makes."""
        host, origin = _authority(f"//{request.host}"), _authority(request.headers.get("Origin", f"//{request.host}"))
        if host[0] not in self._hosts:
            raise web.HTTPForbidden(text="This is no name of the lab; `llmlab serve --host NAME` gives it one.")
        if origin != host and origin[0] not in self._hosts - LOOPBACK_NAMES:
            raise web.HTTPForbidden(text="The page that asks is not the lab's.")
        response: web.StreamResponse = await handler(request)
        if not response.prepared:
            response.headers.update(HEADERS)
        return response

    async def _run_lab(self, request: web.Request) -> web.StreamResponse:
        """Run a lab for the page at the other end of a web socket, until either ends; a page that comes back gets its own."""
        page = web.WebSocketResponse(heartbeat=HEARTBEAT_SECONDS, max_msg_size=MOST_BYTES)
        await page.prepare(request)
        name = request.query.get("lab") or secrets.token_hex()
        lab = self._labs.get(name)
        if "again" in request.query and (lab is None or lab.has_quit):
            await page.close()
            return page
        try:
            if lab is None:
                lab = self._labs[name] = LabProcess(page, self._downloads)
                await lab.start(_cells(request.query.get("width"), 80), _cells(request.query.get("height"), 24))
            else:
                lab.attach(page)
                await lab.send_meta({"type": "redraw"})
            is_lost = True
            while is_lost and (message := await page.receive()).type not in LINK_ENDS:
                if message.type == WSMsgType.TEXT:
                    await _pass_on(message.data, lab, page)
                is_lost = message.type != WSMsgType.CLOSE
            if is_lost and lab.page is page and not lab.has_quit:
                await lab.wait_for_page(SECONDS_TO_RETURN)
        finally:
            if lab is not None and lab.page is page:
                del self._labs[name]
                await lab.end()
        return page

    async def _end_labs(self, _: web.Application) -> None:
        await asyncio.gather(*(lab.quit_page() for lab in self._labs.values()))


def _authority(address: str) -> tuple[str, str]:
    """Host, and host and port, of an address; empty where it has none."""
    try:
        parts = urlsplit(address)
        return parts.hostname or "", parts.netloc
    except ValueError:
        return "", ""


async def _redirect(address: str) -> web.StreamResponse:
    raise web.HTTPFound(address)


def _cells(asked: object, otherwise: int) -> int:
    """A number of cells that a page asks for, within bounds."""
    try:
        return min(max(1, int(str(asked))), MOST_CELLS)
    except ValueError:
        return otherwise


async def _pass_on(message: str, lab: LabProcess, page: web.WebSocketResponse) -> None:
    """Hand what the page says to the lab: `[kind, value]`, as textual-serve's script sends it. Anything else is dropped."""
    try:
        said = msgspec.json.decode(message)
    except JSON_ERRORS:
        return
    match said:
        case ["stdin", str(text)]:
            await lab.send_bytes(bounded_input(text).encode("utf-8", "replace"))
        case ["resize", {"width": int(width), "height": int(height)}]:
            await lab.set_terminal_size(_cells(width, 80), _cells(height, 24))
        case ["ping", str(value)]:
            await page.send_json(["pong", value])
        case ["focus", *_]:
            await lab.focus()
        case ["blur", *_]:
            await lab.blur()
