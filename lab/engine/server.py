"""Serving requests: one thread reads them from a pipe, the other works them off, one after another, and writes the replies.

Nothing here needs torch, nor knows what the methods do.
"""

import sys
import threading
import traceback
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO, Generic, NoReturn, TypeVar

import msgspec

from lab.core.errors import UserError
from lab.engine.method_table import EngineMethod
from lab.engine.protocol import ErrorKind, Failure, Message, Reply, Request, WireError, frame, read_frame
from lab.engine.request_queue import WorkQueue
from models.config import ConfigError

P = TypeVar("P")
R = TypeVar("R")

DROPPED: dict[ErrorKind, str] = {
    "superseded": "A newer request took the place of this one.",
    "cancelled": "This request was cancelled.",
}


@dataclass(frozen=True)
class Incremental(Generic[R]):
    """A result computed piece by piece: the generator yields after each piece, where it may be interrupted, and returns it."""

    work: Generator[None, None, R]


@dataclass(frozen=True)
class Implementation:
    """A method and the function that serves it; `implement` makes one whose types agree."""

    method: EngineMethod[Any, Any]
    function: Callable[[Any], object]


def implement(method: EngineMethod[P, R], function: Callable[[P], R | Iterator[R] | Incremental[R]]) -> Implementation:
    """Bind a function to a method. It returns the result, an iterator over the items of a stream, or an `Incremental` result,
    which lets other requests in between its pieces."""
    return Implementation(method, function)


def implementations_by_name(
    methods: Iterable[EngineMethod[Any, Any]], implementations: Iterable[Implementation]
) -> dict[str, Implementation]:
    """The implementations under their methods' names.

    Raises:
        LookupError: if a method has no implementation, or an implementation is of no method in the table.
    """
    wanted, found = {method.name for method in methods}, {each.method.name: each for each in implementations}
    if missing := sorted(wanted - found.keys()):
        raise LookupError(f"The engine's method {missing[0]} has no implementation.")
    if unknown := sorted(found.keys() - wanted):
        raise LookupError(f"The engine implements {unknown[0]}, which is not in its table of methods.")
    return found


class Server:
    """Serves requests one after another; while a stream runs, requests that come in are served between its items, and while a
    result is made in slices, between those."""

    def __init__(self, replies: BinaryIO) -> None:
        self._replies = replies
        self._writing = threading.Lock()
        self._queue = WorkQueue()
        self._running: dict[int, Iterator[object] | Incremental[Any]] = {}

    def read(self, requests: BinaryIO, at_end: Callable[[], None]) -> None:
        """Body of the reading thread: queues what arrives, answers for what is dropped, calls `at_end` when there is no more to
        read: the pipe is closed, or carries something that is no request."""
        decoder = msgspec.msgpack.Decoder(Message)
        try:
            while (body := read_frame(requests)) is not None:
                for request, reason in self._queue.put(decoder.decode(body)):
                    self._fail(request.id, reason, DROPPED[reason])
        except (WireError, msgspec.DecodeError) as error:
            sys.stderr.write(f"The engine's requests cannot be read: {error}\n")
            sys.stderr.flush()
        finally:
            at_end()

    def serve_forever(self, methods: Iterable[EngineMethod[Any, Any]], implementations: Iterable[Implementation]) -> NoReturn:
        """Serve the methods, each of which must have an implementation. Raises: LookupError, before any request is served."""
        by_name = implementations_by_name(methods, implementations)
        while True:
            self._serve_once(by_name)

    def _serve_once(self, implementations: Mapping[str, Implementation]) -> None:
        """Serves one waiting request, if any, and takes the stream whose turn it is one step on; sleeps if there is neither."""
        request = self._queue.take(wait=not self._running)
        if request is not None:
            self._start(request, implementations)
        if self._running:
            id_ = next(iter(self._running))
            self._running[id_] = self._running.pop(id_)  # to the end of the queue
            self._advance(id_)

    def _start(self, request: Request, implementations: Mapping[str, Implementation]) -> None:
        implementation = implementations.get(request.method)
        if implementation is None:
            self._finish(request.id, Failure("bug", f"The engine knows no method called {request.method}."))
            return
        try:
            params = msgspec.msgpack.decode(request.params, type=implementation.method.params)
            result = implementation.function(params)
            if isinstance(result, Iterator | Incremental):
                self._running[request.id] = result
            else:
                self._send(Reply(request.id, result=_raw(result)))
                self._queue.finish(request.id)
        except Exception as error:
            self._finish(request.id, _failure(request.method, error))

    def _advance(self, id_: int) -> None:
        reason = self._queue.ended(id_)
        if reason is not None:
            self._finish(id_, Failure(reason, DROPPED[reason]))
            return
        running = self._running[id_]
        try:
            item = next(running.work if isinstance(running, Incremental) else running)
        except StopIteration as end:
            self._finish(id_, None, end.value)
        except Exception as error:
            self._finish(id_, _failure("a request", error))
        else:
            if not isinstance(running, Incremental):
                self._send(Reply(id_, result=_raw(item), done=False))

    def _finish(self, id_: int, failure: Failure | None, result: object = None) -> None:
        running = self._running.pop(id_, None)
        work = running.work if isinstance(running, Incremental) else running
        if isinstance(work, Generator):
            work.close()  # one that is given up lets go of what it holds now
        self._queue.finish(id_)
        self._send(Reply(id_, result=_raw(result), error=failure))

    def _fail(self, id_: int, kind: ErrorKind, sentence: str) -> None:
        self._send(Reply(id_, error=Failure(kind, sentence)))

    def _send(self, reply: Reply) -> None:
        data = frame(reply)
        with self._writing:
            self._replies.write(data)
            self._replies.flush()


def _raw(value: object) -> msgspec.Raw:
    return msgspec.Raw(msgspec.msgpack.encode(value))


def _failure(method: str, error: Exception) -> Failure:
    """A user's mistake as it is; anything else is a bug, whose traceback goes to the log and whose name to the user."""
    if isinstance(error, msgspec.ValidationError) and isinstance(error.__cause__, ConfigError):
        error = error.__cause__
    if isinstance(error, (UserError, ConfigError)):
        return Failure("user", str(error))
    traceback.print_exception(error)
    detail = str(error).partition("\n")[0].rstrip(".")
    return Failure("bug", f"The engine failed on {method}: {type(error).__name__}: {detail}. Its log has the whole story.")
