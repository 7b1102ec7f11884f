"""A web server with one page: the lab in a terminal emulator, each page with a lab process of its own.

The emulator (xterm.js) and the process are textual-serve's. Its own server is not used: it answers whoever reaches the port, and
its page asks another host for a font.
"""

import asyncio
import importlib.resources
import os
import signal
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import textual_serve
from aiohttp import WSMsgType, web
from textual_serve.download_manager import DownloadManager

from lab.cli.commands.serve.lab_process import COMMAND, LabProcess
from lab.core.bounded_json import JSON_ERRORS

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
MOST_CELLS = 1000
"""Largest width and height of a terminal that a page may ask for, in cells."""


class LabServer:
    """Serves the lab below a secret path; any other address is not found."""

    def __init__(self, secret: str) -> None:
        self._secret = secret
        self._page = importlib.resources.files(__package__).joinpath("page.html").read_text(encoding="utf-8")
        self._pages: set[web.WebSocketResponse] = set()
        self._downloads = DownloadManager()

    async def serve(self, listening: socket.socket, when_ready: Callable[[], None]) -> None:
        """Serve until SIGINT or SIGTERM, then quit the labs of all pages."""
        app = web.Application(middlewares=[_with_headers])
        root = f"/{self._secret}"
        app.router.add_get(f"{root}/", self._send_page)
        app.router.add_get(f"{root}/ws", self._run_lab)
        app.router.add_static(f"{root}/static", STATIC)
        app.on_shutdown.append(self._close_pages)
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

    async def _send_page(self, request: web.Request) -> web.StreamResponse:
        # The browser's own word for this address: a tunnel may begin at another port.
        address = f"ws://{request.host}/{self._secret}/ws"
        text = self._page.replace("{{ websocket }}", address.replace("&", "&amp;").replace('"', "&quot;"))
        return web.Response(text=text, content_type="text/html")

    async def _run_lab(self, request: web.Request) -> web.StreamResponse:
        """Run a lab for the page at the other end of a web socket, until either ends."""
        page = web.WebSocketResponse(heartbeat=HEARTBEAT_SECONDS)
        await page.prepare(request)
        self._pages.add(page)

        async def close() -> None:
            await page.close()

        lab = LabProcess(
            COMMAND,
            write_bytes=page.send_bytes,
            write_str=page.send_str,
            close=close,
            download_manager=self._downloads,
        )
        try:
            await lab.start(_cells(request.query.get("width"), 80), _cells(request.query.get("height"), 24))
            async for message in page:
                if message.type == WSMsgType.TEXT:
                    await _pass_on(message.data, lab, page)
        finally:
            self._pages.discard(page)
            await lab.end()
        return page

    async def _close_pages(self, _: web.Application) -> None:
        await asyncio.gather(*(page.close() for page in self._pages))


@web.middleware
async def _with_headers(request: web.Request, handler: Any) -> web.StreamResponse:
    response: web.StreamResponse = await handler(request)
    if not response.prepared:
        response.headers.update(HEADERS)
    return response


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
