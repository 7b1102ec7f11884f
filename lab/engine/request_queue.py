"""The requests that wait for the engine's one worker, and which of them nobody wants any more."""

import threading
from collections.abc import Iterable

from lab.engine.protocol import Cancel, ErrorKind, Message, Request


class WorkQueue:
    """First come, first served; a newer request of a group drops an older one. Filled by one thread, emptied by another.

    A request is waiting, then either done (a call) or streaming. `put` returns those that were dropped while they waited, with
    the reason; a stream that was dropped is told so by `ended`.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waiting: dict[int, Request] = {}
        self._streaming: dict[int, str | None] = {}
        self._ended: dict[int, ErrorKind] = {}

    def put(self, message: Message) -> list[tuple[Request, ErrorKind]]:
        with self._changed:
            if isinstance(message, Cancel):
                return self._drop([message.id], "cancelled")
            dropped: list[tuple[Request, ErrorKind]] = []
            if message.group is not None:
                twins = [id_ for id_, other in self._waiting.items() if other.group == message.group]
                twins += [id_ for id_, group in self._streaming.items() if group == message.group]
                dropped = self._drop(twins, "superseded")
            self._waiting[message.id] = message
            self._changed.notify()
            return dropped

    def _drop(self, ids: Iterable[int], reason: ErrorKind) -> list[tuple[Request, ErrorKind]]:
        dropped: list[tuple[Request, ErrorKind]] = []
        for id_ in ids:
            if id_ in self._waiting:
                dropped.append((self._waiting.pop(id_), reason))
            elif id_ in self._streaming:
                self._ended[id_] = reason
        return dropped

    def take(self, wait: bool) -> Request | None:
        """The oldest waiting request; with `wait`, sleeps until there is one. It counts as streaming until `finish`."""
        with self._changed:
            while wait and not self._waiting:
                self._changed.wait()
            if not self._waiting:
                return None
            request = self._waiting.pop(next(iter(self._waiting)))
            self._streaming[request.id] = request.group
            return request

    def ended(self, id_: int) -> ErrorKind | None:
        """Why this stream should stop now, None while it is wanted."""
        with self._changed:
            return self._ended.get(id_)

    def finish(self, id_: int) -> None:
        with self._changed:
            self._streaming.pop(id_, None)
            self._ended.pop(id_, None)
