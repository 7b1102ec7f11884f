"""The wire, the queue of requests, and the table of methods with the implementations behind it."""

import io

import msgspec
import pytest

from lab.engine import method_registry, protocol
from lab.engine.method_bindings import implementations
from lab.engine.method_registry import EngineMethod
from lab.engine.protocol import Cancel, Message, Reply, Request, body_length, frame, read_frame
from lab.engine.server import RequestQueue
from lab.inspect.model_cache import ModelCache


def test_every_method_of_the_registry_is_implemented_under_its_own_name() -> None:
    methods = [each for each in vars(method_registry).values() if isinstance(each, EngineMethod)]
    implemented = [each.method for each in implementations(ModelCache())]
    assert sorted(method.name for method in implemented) == sorted(method.name for method in methods)
    assert len({method.name for method in methods}) == len(methods) > 10


def request(id_: int) -> Request:
    return Request(id_, "view", msgspec.Raw(msgspec.msgpack.encode({"layer": id_})))


def test_messages_survive_the_frame_whose_length_is_little_endian() -> None:
    messages = [request(1), Cancel(1), request(70_000)]
    pipe = io.BytesIO(b"".join(frame(message) for message in messages))
    assert pipe.getvalue()[:4] == len(msgspec.msgpack.encode(messages[0])).to_bytes(4, "little")
    for message in messages:
        body = read_frame(pipe)
        assert body is not None
        got = msgspec.msgpack.decode(body, type=Message)
        assert msgspec.msgpack.encode(got) == msgspec.msgpack.encode(message)
    assert read_frame(pipe) is None
    for reply in (Reply(3, result=msgspec.Raw(b"\x2a")), Reply(4, error="No."), Reply(5)):
        got = msgspec.msgpack.decode(frame(reply)[4:], type=Reply)
        assert (got.id, got.error, got.result) == (reply.id, reply.error, reply.result)
    for cut in (1, 3, 4, 9):
        assert read_frame(io.BytesIO(frame(request(1))[:cut])) is None, "a frame cut short is the end"


def test_text_in_the_pipe_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(protocol.WireError, match="something else wrote into it"):
        body_length(b"Warn")
    monkeypatch.setattr(protocol, "MAX_FRAME", 10)
    with pytest.raises(protocol.WireError, match="longer than a frame may be"):
        frame(request(1))


def test_the_queue_keeps_order_drops_what_is_cancelled_and_marks_what_is_taken() -> None:
    queue = RequestQueue()
    for id_ in (1, 2, 3):
        queue.put(request(id_))
    queue.put(Cancel(2))
    taken = [queue.take(wait=True), queue.take(wait=False), queue.take(wait=False)]
    assert [one.id if one else None for one in taken] == [1, 3, None]
    queue.put(Cancel(3))
    assert (queue.is_cancelled(1), queue.is_cancelled(3)) == (False, True)
    queue.finish(3)
    queue.put(Cancel(3))  # it came too late
    queue.put(Cancel(99))
    assert queue.take(wait=False) is None
