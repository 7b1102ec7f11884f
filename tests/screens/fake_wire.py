"""The wire to the engine without a process: what crosses it is encoded and decoded with the types of the method's table entry."""

from typing import Any, TypeVar

import msgspec

from lab.engine.method_registry import EngineMethod

P = TypeVar("P")
R = TypeVar("R")


def received_params(method: EngineMethod[P, Any], params: object) -> P:
    """The parameters as the engine would decode them. Raises: msgspec.ValidationError."""
    return msgspec.msgpack.decode(msgspec.msgpack.encode(params), type=method.params)


def received_result(method: EngineMethod[P, R], result: object) -> R:
    """The result as the client would decode it. Raises: msgspec.ValidationError."""
    return msgspec.msgpack.decode(msgspec.msgpack.encode(result), type=method.result)
