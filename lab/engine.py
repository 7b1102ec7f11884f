"""The engine: the process beside the screen that holds the model and computes what Inspect shows. `python -P -m lab.engine`.

It reads requests from its standard input and writes replies to its standard output (`lab.wire`), and ends when its input closes,
which is what happens when its parent dies in whatever way. Whatever torch or a library prints goes to standard error, which the
client sends to a log.
"""

import faulthandler
import os
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

import msgspec

from lab.errors import UserError
from lab.wire import ErrorKind, Failure, Message, Reply, Request, frame, read_frame
from lab.work_queue import WorkQueue
from models.config import ConfigError

MAX_THREADS = 4
"""The engine shares the machine with training, and the models it looks at are small."""

DROPPED: dict[ErrorKind, str] = {
    "superseded": "A newer request took the place of this one.",
    "cancelled": "This request was cancelled.",
}


@dataclass(frozen=True)
class Method:
    """What a method's params decode to, and the function that serves it; if that returns an iterator, the method is a stream."""

    params: type
    function: Callable[[Any], object]


class Server:
    """Serves requests one after another; while a stream runs, requests that come in are served between its items."""

    def __init__(self, replies: BinaryIO) -> None:
        self._replies = replies
        self._writing = threading.Lock()
        self._queue = WorkQueue()
        self._streams: dict[int, Iterator[object]] = {}

    def read(self, requests: BinaryIO, at_end: Callable[[], None]) -> None:
        """Body of the reading thread: queues what arrives, answers for what is dropped, calls `at_end` when the pipe closes."""
        decoder = msgspec.msgpack.Decoder(Message)
        while (body := read_frame(requests)) is not None:
            for request, reason in self._queue.put(decoder.decode(body)):
                self._fail(request.id, reason, DROPPED[reason])
        at_end()

    def serve_forever(self, methods: Mapping[str, Method]) -> None:
        while True:
            self.serve_once(methods)

    def serve_once(self, methods: Mapping[str, Method]) -> None:
        """Serves one waiting request, if any, and advances the oldest stream by one item; sleeps if there is neither."""
        request = self._queue.take(wait=not self._streams)
        if request is not None:
            self._start(request, methods)
        if self._streams:
            self._advance(next(iter(self._streams)))

    def _start(self, request: Request, methods: Mapping[str, Method]) -> None:
        method = methods.get(request.method)
        if method is None:
            self._finish(request.id, Failure("bug", f"The engine knows no method called {request.method}."))
            return
        try:
            result = method.function(msgspec.msgpack.decode(request.params, type=method.params))
            if isinstance(result, Iterator):
                self._streams[request.id] = result
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
        try:
            item = next(self._streams[id_])
        except StopIteration:
            self._finish(id_, None)
        except Exception as error:
            self._finish(id_, _failure("a stream", error))
        else:
            self._send(Reply(id_, result=_raw(item), done=False))

    def _finish(self, id_: int, failure: Failure | None) -> None:
        self._streams.pop(id_, None)
        self._queue.finish(id_)
        self._send(Reply(id_, error=failure))

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
    if isinstance(error, (UserError, ConfigError)):
        return Failure("user", str(error))
    traceback.print_exception(error)
    detail = str(error).partition("\n")[0].rstrip(".")
    return Failure("bug", f"The engine failed on {method}: {type(error).__name__}: {detail}. Its log has the whole story.")


def claim_pipes() -> tuple[BinaryIO, BinaryIO]:
    """Takes the real standard input and output for frames. From here on, what anything prints lands on standard error."""
    requests = os.fdopen(os.dup(0), "rb")
    replies = os.fdopen(os.dup(1), "wb")
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    return requests, replies


def main() -> None:
    requests, replies = claim_pipes()
    faulthandler.enable()
    server = Server(replies)
    # os._exit: the worker may be deep in a matrix product, and a process without a parent has nothing left to say.
    reader = threading.Thread(target=server.read, args=(requests, lambda: os._exit(0)), name="requests", daemon=True)
    reader.start()

    import torch

    torch.set_num_threads(max(1, min(MAX_THREADS, (os.cpu_count() or 2) // 2)))
    torch.set_grad_enabled(False)

    from lab.microscope import Microscope

    try:
        server.serve_forever(Microscope().methods())
    except BrokenPipeError:
        os._exit(0)


if __name__ == "__main__":
    main()
