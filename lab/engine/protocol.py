"""Wire protocol between screen and engine: requests and replies, framed over a pipe. Nothing here needs torch.

A frame is a 4-byte little-endian length and that many bytes of msgpack. The client sends `Request`s and `Cancel`s; the engine
answers each request that is not cancelled with one `Reply` of the same id.

Requests are stateless: each carries the run, the checkpoint and the prompt. An engine that was just started serves them as well
as one that has been running for hours, only slower the first time.
"""

from typing import BinaryIO

import msgspec

HEADER = 4
MAX_FRAME = 1 << 30
"""Limit of a frame's bytes; a longer one means that something else wrote into the pipe."""

NOTHING = msgspec.Raw(msgspec.msgpack.encode(None))


class WireError(Exception):
    """The pipe carries something that is no frame."""


class Request(msgspec.Struct, tag="request"):
    id: int
    method: str
    params: msgspec.Raw


class Cancel(msgspec.Struct, tag="cancel"):
    """Drop the request if it waits; give it up at its next check if it is being served."""

    id: int


Message = Request | Cancel


class Reply(msgspec.Struct, omit_defaults=True):
    id: int
    result: msgspec.Raw = NOTHING
    error: str | None = None
    """A sentence for the user, instead of a result."""


def frame(message: Message | Reply) -> bytes:
    """The bytes of one frame. Raises WireError if the message is longer than MAX_FRAME."""
    body = msgspec.msgpack.encode(message)
    if len(body) > MAX_FRAME:
        raise WireError(f"a message of {len(body)} bytes is longer than a frame may be ({MAX_FRAME})")
    return len(body).to_bytes(HEADER, "little") + body


def body_length(header: bytes) -> int:
    """Length announced by a frame's first HEADER bytes. Raises WireError if no frame can be that long."""
    length = int.from_bytes(header, "little")
    if length > MAX_FRAME:
        raise WireError(f"the pipe announces a frame of {length} bytes, which cannot be: something else wrote into it")
    return length


def read_frame(stream: BinaryIO) -> bytes | None:
    """The body of the next frame of a blocking stream, None at its end (also in the middle of a frame: the writer died)."""
    header = stream.read(HEADER)
    if len(header) < HEADER:
        return None
    length = body_length(header)
    body = stream.read(length)
    return body if len(body) == length else None
