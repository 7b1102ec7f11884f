"""The engine's server: one thread reads requests from a pipe, the other serves them one after another and writes the replies.

Nothing here needs torch, nor knows what the methods do.
"""

import sys
import threading
import traceback
from collections.abc import Callable, Generator, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO, NoReturn, TypeVar

import msgspec

from lab.core.errors import UserError, name_error
from lab.engine.method_registry import AnyMethod, EngineMethod
from lab.engine.protocol import Cancel, ErrorKind, Failure, Message, Reply, Request, WireError, frame, read_frame
from models.config import ConfigError


@dataclass
class _Taken:
    group: str | None
    ahead: bool
    stop_reason: ErrorKind | None = None


class RequestQueue:
    """Filled by one thread, emptied by another. A request waits, then is taken, and is gone when it is finished."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waiting: dict[int, Request] = {}
        self._taken: dict[int, _Taken] = {}

    def put(self, message: Message) -> list[tuple[Request, ErrorKind]]:
        """Add a request, or cancel one. Returns the waiting ones that are dropped for it; those taken get a `stop_reason`."""
        with self._changed:
            if isinstance(message, Cancel):
                return self._drop([message.id], "cancelled")
            all_older: list[tuple[int, Request | _Taken]] = [*self._waiting.items(), *self._taken.items()]
            urgent, group = not message.ahead, message.group
            superseded = [
                id_ for id_, each in all_older if (each.ahead and urgent) or (group is not None and each.group == group)
            ]
            dropped = self._drop(superseded, "superseded")
            self._waiting[message.id] = message
            self._changed.notify()
            return dropped

    def _drop(self, ids: Iterable[int], reason: ErrorKind) -> list[tuple[Request, ErrorKind]]:
        dropped: list[tuple[Request, ErrorKind]] = []
        for id_ in ids:
            if id_ in self._waiting:
                dropped.append((self._waiting.pop(id_), reason))
            elif id_ in self._taken:
                self._taken[id_].stop_reason = reason
        return dropped

    def take(self, wait: bool, ahead: bool = True) -> Request | None:
        """The oldest waiting request that is not ahead; without one, the oldest ahead, unless `ahead` is False.

        With `wait`, sleeps until there is one.
        """
        with self._changed:
            while wait and not self._waiting:
                self._changed.wait()
            wanted = (id_ for id_, waiting in self._waiting.items() if not waiting.ahead)
            id_ = next(wanted, next(iter(self._waiting), None) if ahead else None)
            if id_ is None:
                return None
            request = self._waiting.pop(id_)
            self._taken[request.id] = _Taken(request.group, request.ahead)
            return request

    def stop_reason(self, id_: int) -> ErrorKind | None:
        """The reason to stop serving a taken request; None while it is wanted."""
        with self._changed:
            taken = self._taken.get(id_)
            return taken.stop_reason if taken is not None else None

    def finish(self, id_: int) -> None:
        with self._changed:
            self._taken.pop(id_, None)


P = TypeVar("P")
R = TypeVar("R")

DROPPED: dict[ErrorKind, str] = {
    "superseded": "A newer request took the place of this one.",
    "cancelled": "This request was cancelled.",
}


@dataclass(frozen=True)
class Implementation:
    """A method and the function that serves it; `implement` makes one whose types agree."""

    method: AnyMethod
    function: Callable[[Any], object]


def implement(method: EngineMethod[P, R], function: Callable[[P], R | Generator[None, None, R]]) -> Implementation:
    """Bind a method to a function that returns its result, or a generator that yields after each slice of the work, where other
    requests are served, and returns the result."""
    return Implementation(method, function)


def implementations_by_name(methods: Iterable[AnyMethod], implementations: Iterable[Implementation]) -> dict[str, Implementation]:
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


@dataclass(frozen=True)
class _Running:
    """A request that is served in slices."""

    method: str
    work: Generator[None, None, object]
    ahead: bool


class Server:
    """Server of requests, one after another; those in slices take turns with each other and with new ones.

    Requests made ahead are served only while there is no other.
    """

    def __init__(self, replies: BinaryIO) -> None:
        self._replies = replies
        self._writing = threading.Lock()
        self._queue = RequestQueue()
        self._running: dict[int, _Running] = {}

    def read(self, requests: BinaryIO, at_end: Callable[[], None]) -> None:
        """Body of the reading thread: queue what arrives and answer for what is dropped. `at_end` is called when the pipe is
        closed or carries something that is no request."""
        decoder = msgspec.msgpack.Decoder(Message)
        try:
            while (body := read_frame(requests)) is not None:
                for request, reason in self._queue.put(decoder.decode(body)):
                    self._write(frame(Reply(request.id, error=Failure(reason, DROPPED[reason]))))
        except (WireError, msgspec.DecodeError) as error:
            sys.stderr.write(f"The engine's requests cannot be read: {error}\n")
            sys.stderr.flush()
        finally:
            at_end()

    def serve_forever(
        self,
        methods: Iterable[AnyMethod],
        implementations: Iterable[Implementation],
    ) -> NoReturn:
        """Serve the methods, each of which must have an implementation. Raises: LookupError, before any request is served."""
        by_name = implementations_by_name(methods, implementations)
        while True:
            self._serve_once(by_name)

    def _serve_once(self, implementations: Mapping[str, Implementation]) -> None:
        """Start one waiting request, if any, and advance the running one whose turn it is; sleep if there is neither."""
        wanted = any(not running.ahead for running in self._running.values())
        request = self._queue.take(wait=not self._running, ahead=not wanted)
        if request is not None:
            self._start(request, implementations)
        for id_ in list(self._running):  # those that are not wanted any more end, and others need not wait for what they hold
            if (reason := self._queue.stop_reason(id_)) is not None:
                self._finish(id_, frame(Reply(id_, error=Failure(reason, DROPPED[reason]))))
        if self._running:
            id_ = next(iter(self._running))
            self._running[id_] = self._running.pop(id_)  # to the end of the queue
            self._advance(id_, self._running[id_])

    def _start(self, request: Request, implementations: Mapping[str, Implementation]) -> None:
        implementation = implementations.get(request.method)
        if implementation is None:
            failure = Failure("bug", f"The engine knows no method called {request.method}.")
            self._finish(request.id, frame(Reply(request.id, error=failure)))
            return
        method = implementation.method
        try:
            result = implementation.function(msgspec.msgpack.decode(request.params, type=method.params))
        except Exception as error:
            self._finish(request.id, _failure_frame(request.id, method.name, error))
            return
        if isinstance(result, Generator):
            self._running[request.id] = _Running(method.name, result, request.ahead)
        else:
            self._finish(request.id, _result_frame(request.id, method.name, result))

    def _advance(self, id_: int, running: _Running) -> None:
        try:
            next(running.work)
        except StopIteration as end:
            self._finish(id_, _result_frame(id_, running.method, end.value))
        except Exception as error:
            self._finish(id_, _failure_frame(id_, running.method, error))

    def _finish(self, id_: int, reply: bytes) -> None:
        running = self._running.pop(id_, None)
        if running is not None:
            running.work.close()  # one that is given up releases what it holds now
        self._queue.finish(id_)
        self._write(reply)

    def _write(self, reply: bytes) -> None:
        with self._writing:
            self._replies.write(reply)
            self._replies.flush()


def _result_frame(id_: int, method: str, result: object) -> bytes:
    try:
        return frame(Reply(id_, result=msgspec.Raw(msgspec.msgpack.encode(result))))
    except Exception as error:  # such as a result longer than a frame may be
        return _failure_frame(id_, method, error)


def _failure_frame(id_: int, method: str, error: Exception) -> bytes:
    """A user's mistake as it is; anything else is a bug, whose traceback goes to the log and whose name to the user."""
    if isinstance(error, msgspec.ValidationError) and isinstance(error.__cause__, ConfigError):
        error = error.__cause__
    if isinstance(error, UserError | ConfigError):
        return frame(Reply(id_, error=Failure("user", str(error))))
    traceback.print_exception(error)
    sentence = f"The engine failed on {method}: {name_error(error)}. See its log."
    return frame(Reply(id_, error=Failure("bug", sentence)))
