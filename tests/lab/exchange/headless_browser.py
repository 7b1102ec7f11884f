"""A headless Chromium to open a page in, driven over a pipe by the DevTools protocol."""

import json
import os
import shutil
import subprocess
import time
from base64 import b64decode
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome", "chrome")
PATIENCE = 240.0
"""Seconds that the browser may take to answer on a machine that is busy."""


def find_browser() -> str | None:
    """Path of an installed Chromium; None where there is none."""
    return next((found for name in NAMES if (found := shutil.which(name))), None)


class HeadlessBrowser:
    """One page. `problems` are messages on its console and exceptions, `requests` the addresses that it asked for.

    `received` are the messages that came to its web sockets.
    """

    def __init__(self, browser: str, folder: Path, *, size: tuple[int, int] = (1200, 1000)) -> None:
        self.problems: list[str] = []
        self.requests: list[str] = []
        self.received: list[bytes] = []
        self._loaded = False
        self._last = 0
        self._answers: dict[int, dict[str, Any]] = {}
        self._session: str | None = None
        self._rest = b""
        theirs_in, self._to = os.pipe()
        self._from, theirs_out = os.pipe()
        arguments = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"]
        arguments += [f"--window-size={size[0]},{size[1]}", f"--user-data-dir={folder}", "--remote-debugging-pipe"]
        self._process = subprocess.Popen(
            ["bash", "-c", f'exec "$@" 3<&{theirs_in} 4>&{theirs_out}', "bash", *arguments],
            pass_fds=(theirs_in, theirs_out),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(theirs_in)
        os.close(theirs_out)
        os.set_blocking(self._from, False)
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self._call(f"{domain}.enable")
        self.begin_again(dark=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        os.close(self._to)  # its end of the pipe closes, and it ends
        try:
            self._process.wait(PATIENCE)
        finally:
            self._process.kill()
            self._process.wait()
            os.close(self._from)

    def begin_again(self, *, dark: bool) -> None:
        """Forget what was said until now, and prefer dark pages or light ones."""
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self._call("Emulation.setEmulatedMedia", features=[scheme])
        for said in (self.problems, self.requests, self.received):
            said.clear()

    def open(self, path: Path) -> None:
        """Open a file and wait until it is loaded."""
        self.open_address(path.as_uri())

    def open_address(self, address: str) -> None:
        """Open an address and wait until its page is loaded."""
        self._loaded = False
        self._call("Page.navigate", url=address)
        self.until(lambda: self._loaded, lambda: f"{address} to load")

    def evaluate(self, expression: str) -> Any:
        """The value of an expression in the page."""
        found = self._call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def hover(self, selector: str, across: float = 0.5, down: float = 0.5) -> None:
        """Move the mouse onto an element, to a place given as a share of its width and height."""
        x, y = self.evaluate(
            f"(() => {{ const e = document.querySelector({json.dumps(selector)}); e.scrollIntoView({{block: 'center'}});"
            f" const b = e.getBoundingClientRect(); return [b.left + b.width * {across}, b.top + b.height * {down}]; }})()"
        )
        self._call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)

    def press(self, key: str) -> None:
        """Press a key on the focused element."""
        for kind in ("keyDown", "keyUp"):
            self._call("Input.dispatchKeyEvent", type=kind, key=key)

    def type(self, letter: str) -> None:
        """Type a letter or a digit into the focused element."""
        code = ord(letter.upper())
        self._call("Input.dispatchKeyEvent", type="keyDown", key=letter, text=letter, windowsVirtualKeyCode=code)
        self._call("Input.dispatchKeyEvent", type="keyUp", key=letter, windowsVirtualKeyCode=code)

    def text(self, selector: str) -> str:
        return str(self.evaluate(f"document.querySelector({json.dumps(selector)}).textContent"))

    def _call(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._last += 1
        number = self._last
        message: dict[str, Any] = {"id": number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        self.until(lambda: number in self._answers, lambda: f"the answer to {method}")
        answer = self._answers.pop(number)
        assert "error" not in answer, f"{method}: {answer['error']}"
        result: dict[str, Any] = answer["result"]
        return result

    def until(self, done: Callable[[], object], what: Callable[[], str] = lambda: "an answer") -> None:
        """Read what the browser says until `done` gives a true value. An AssertionError names `what` is missing."""
        end = time.monotonic() + PATIENCE
        while not done():
            assert time.monotonic() < end, f"waited for {what()}; problems: {self.problems}"
            try:
                chunk = os.read(self._from, 1 << 20)
            except BlockingIOError:
                time.sleep(0.005)
                continue
            assert chunk, "the browser ended"
            *whole, self._rest = (self._rest + chunk).split(b"\0")
            for each in whole:
                self._take(json.loads(each))

    def _take(self, message: dict[str, Any]) -> None:
        if "id" in message:
            self._answers[message["id"]] = message
            return
        parameters = message["params"]
        match message["method"]:
            case "Page.loadEventFired":
                self._loaded = True
            case "Network.requestWillBeSent":
                self.requests.append(parameters["request"]["url"])
            case "Network.webSocketFrameReceived":
                frame = parameters["response"]
                data = frame["payloadData"]
                self.received.append(b64decode(data) if frame["opcode"] == 2 else data.encode())
            case "Runtime.consoleAPICalled":
                self.problems.append(str(parameters["args"]))
            case "Runtime.exceptionThrown":
                self.problems.append(str(parameters["exceptionDetails"]))
            case "Log.entryAdded":
                self.problems.append(parameters["entry"]["text"])
