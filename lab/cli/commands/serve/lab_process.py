"""The lab process of one page: input that it has not read is bounded, and it ends with its page, however busy it is.

Where the link to its page is lost, the lab stays, and what it draws meanwhile is dropped.
"""

import asyncio
import contextlib
import json
import shlex
import sys
from asyncio.subprocess import Process
from typing import Literal

from aiohttp.web import WebSocketResponse
from textual_serve.app_service import AppService
from textual_serve.download_manager import DownloadManager

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
        """Tell the page that the lab has quit."""
        self.has_quit = True
        self._changed.set()
        await self.page.close()

    async def _to_page(self, data: bytes | str) -> None:
        with contextlib.suppress(ConnectionResetError):  # the link is lost
            await (self.page.send_str(data) if isinstance(data, str) else self.page.send_bytes(data))

    async def type(self, text: str) -> None:
        """Send what was typed or pasted in the page."""
        await self.send_bytes(bounded_input(text).encode("utf-8", "replace"))

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
