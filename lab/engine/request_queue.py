"""The queue of the engine's requests: first come, first served; a newer request of a group drops an older one.

Requests made ahead, for whose answers nobody waits yet, come after all others and are dropped for any of them.
"""

import threading
from collections.abc import Iterable
from dataclasses import dataclass

from lab.engine.protocol import Cancel, ErrorKind, Message, Request


@dataclass
class _Taken:
    group: str | None
    ahead: bool
    stop_reason: ErrorKind | None = None


def _supersedes(newer: Request, older: Request | _Taken) -> bool:
    return (older.ahead and not newer.ahead) or (newer.group is not None and older.group == newer.group)


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
            dropped = self._drop([id_ for id_, older in all_older if _supersedes(message, older)], "superseded")
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
