"""The engine's server: one thread reads requests from a pipe, the other serves them one after another and writes the replies.

Nothing here needs torch, nor knows what the methods do.
"""

import sys
import threading
import traceback
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO, Generic, NoReturn, TypeVar

import msgspec

from lab.core.errors import UserError, name_error
from lab.engine.method_registry import EngineMethod
from lab.engine.protocol import Message, Reply, Request, WireError, frame, read_frame
from models.check import checked_by
from models.config import ConfigError


class Cancelled(BaseException):
    """The end of work that whoever asked for it has given up. No `Exception`: nothing that handles faults may catch it."""


class RequestQueue:
    """Filled by one thread, emptied by another. A request waits, then is taken, and is gone when it is finished."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waiting: dict[int, Request] = {}
        self._taken: dict[int, bool] = {}
        """Those taken, and whether each is cancelled."""

    def put(self, message: Message) -> None:
        """Add a request, or cancel one."""
        with self._changed:
            if isinstance(message, Request):
                self._waiting[message.id] = message
                self._changed.notify()
            elif self._waiting.pop(message.id, None) is None and message.id in self._taken:
                self._taken[message.id] = True

    def take(self, wait: bool) -> Request | None:
        """The oldest waiting request. With `wait`, sleeps until there is one; else None if there is none."""
        with self._changed:
            while wait and not self._waiting:
                self._changed.wait()
            if not self._waiting:
                return None
            request = self._waiting.pop(next(iter(self._waiting)))
            self._taken[request.id] = False
            return request

    def is_cancelled(self, id_: int) -> bool:
        """Whether a taken request is wanted no more."""
        return self._taken[id_]

    def finish(self, id_: int) -> None:
        with self._changed:
            del self._taken[id_]


P = TypeVar("P")
R = TypeVar("R")


@dataclass(frozen=True)
class Implementation(Generic[P, R]):
    """A method and the function that serves it, which calls `check` where it takes long."""

    method: EngineMethod[P, R]
    function: Callable[[P], R]


AnyImplementation = Implementation[Any, Any]


class Server:
    """Server of requests, one after another, the oldest first. Those that wait are served inside the checks of a job."""

    def __init__(self, replies: BinaryIO) -> None:
        self._replies = replies
        self._queue = RequestQueue()

    def read(self, requests: BinaryIO, at_end: Callable[[], None]) -> None:
        """Body of the reading thread: queue what arrives. `at_end` is called when the pipe is closed or carries something that is
        no request."""
        decoder = msgspec.msgpack.Decoder(Message)
        try:
            while (body := read_frame(requests)) is not None:
                self._queue.put(decoder.decode(body))
        except (WireError, msgspec.DecodeError) as error:
            sys.stderr.write(f"The engine's requests cannot be read: {error}\n")
            sys.stderr.flush()
        finally:
            at_end()

    def serve_forever(self, implementations: Iterable[AnyImplementation]) -> NoReturn:
        """Serve the methods of these implementations."""
        by_name = {each.method.name: each for each in implementations}
        while True:
            self._serve_next(by_name, wait=True)

    def _serve_next(self, implementations: Mapping[str, AnyImplementation], wait: bool) -> bool:
        """Serve the request that waits longest; False if there is none."""
        request = self._queue.take(wait)
        if request is None:
            return False
        implementation = implementations.get(request.method)
        is_job = implementation is not None and implementation.method.is_job

        def give_up() -> None:
            if self._queue.is_cancelled(request.id):
                raise Cancelled

        def let_in() -> None:
            while is_job and self._serve_next(implementations, wait=False):
                give_up()

        try:
            with checked_by(give_up, let_in):
                self._write(_reply(request, implementation))
        except Cancelled:
            pass  # nobody waits for the answer
        finally:
            self._queue.finish(request.id)
        return True

    def _write(self, reply: bytes) -> None:
        self._replies.write(reply)
        self._replies.flush()


def _reply(request: Request, implementation: AnyImplementation | None) -> bytes:
    """The frame of the answer to a request. A user's mistake is told as it is; anything else is a bug, whose traceback goes to
    the log and whose name to the user. Raises: Cancelled."""
    if implementation is None:
        return frame(Reply(request.id, error=f"The engine knows no method called {request.method}."))
    method = implementation.method
    try:
        result = implementation.function(msgspec.msgpack.decode(request.params, type=method.params))
        return frame(Reply(request.id, result=msgspec.Raw(msgspec.msgpack.encode(result))))
    except Exception as error:  # also a result longer than a frame may be
        told = error.__cause__ if isinstance(error, msgspec.ValidationError) else error
        if isinstance(told, UserError | ConfigError):
            return frame(Reply(request.id, error=str(told)))
        traceback.print_exception(error)
        return frame(Reply(request.id, error=f"The engine failed on {method.name}: {name_error(error)}. See its log."))
