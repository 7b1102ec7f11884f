"""A web server with one page: the lab in a terminal emulator, each page with a lab process of its own.

The emulator (xterm.js) and the process are textual-serve's. Its own server is not used: it answers whoever reaches the port, and
its page asks another host for a font.
"""

import asyncio
import importlib.resources
import os
import secrets
import signal
import socket
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
import textual_serve
from aiohttp import WSMsgType, web
from textual_serve.download_manager import DownloadManager

from lab.cli.commands.serve.lab_process import LabProcess
from lab.core.safe_open import JSON_ERRORS

STATIC = Path(textual_serve.__file__).parent / "static"
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; font-src 'self'; "
    "img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}
"""No other host is asked for anything, and none is told the secret."""
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
            await lab.type(text)
        case ["resize", {"width": int(width), "height": int(height)}]:
            await lab.set_terminal_size(_cells(width, 80), _cells(height, 24))
        case ["ping", str(value)]:
            await page.send_json(["pong", value])
        case ["focus", *_]:
            await lab.focus()
        case ["blur", *_]:
            await lab.blur()
