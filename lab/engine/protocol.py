"""What the screen and the engine say to each other over a pipe, and how it is framed. Nothing here needs torch.

A frame is a 4-byte little-endian length and that many bytes of msgpack. The client sends `Request`s and `Cancel`s; the engine
answers each request with `Reply` frames of the same id: one for a call, any number for a stream, the last one with `done`.

Requests are stateless: each carries the run, the checkpoint and the prompt. An engine that was just started serves them as well
as one that has been running for hours, only slower the first time.
"""

from typing import BinaryIO, Literal

import msgspec

from lab.inspect.interventions import Interventions
from models.edits import Edit

HEADER = 4
MAX_FRAME = 1 << 30
"""No honest frame is larger; a longer one means that something else wrote into the pipe."""

NOTHING = msgspec.Raw(msgspec.msgpack.encode(None))

CheckpointName = str
""""best", "last", or the step of a snapshot in decimal digits."""


class WireError(Exception):
    """The pipe carries something that is no frame."""


class SamplingSettings(msgspec.Struct, frozen=True):
    """How the next token is chosen; the torch-free twin of `models.sampling.Sampling`, with its defaults. 0 and 1.0 mean off."""

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    seed: int = 0
    greedy: bool = False


class OpenParams(msgspec.Struct, frozen=True, kw_only=True):
    """`open` -> `ModelFacts`. Loads the checkpoint again if its file is newer than the one held."""

    run: str
    """A run's name or path."""
    checkpoint: CheckpointName = "best"


class ReleaseParams(msgspec.Struct, frozen=True, kw_only=True):
    """`release` -> True. Forgets all of a run, so that it can be renamed or deleted."""

    path: str
    """The run's folder."""


class PromptParams(OpenParams, frozen=True, kw_only=True):
    """A model and a prompt. `ids` overrides `text`: sampled tokens must not be tokenized again.

    `earlier` says how many tokens of the prompt came before `ids` and were left out because they are out of the model's sight;
    they count for the place that a draw is for, and so for its random number. `edits` and, after them, `interventions` are made
    inside the forward pass; their positions count within the window.
    """

    text: str = ""
    ids: tuple[int, ...] | None = None
    earlier: int = 0
    edits: tuple[Edit, ...] = ()
    interventions: Interventions = ()


class WayParams(PromptParams, frozen=True, kw_only=True):
    """`way` -> `Way`. `position` counts within the window; None or one past the end means the last token."""

    position: int | None = None
    sampling: SamplingSettings = SamplingSettings()


class ViewParams(WayParams, frozen=True, kw_only=True):
    """`view` -> `View`. `layer` and `head` are 0-based; `width_hint` is the room on screen in columns."""

    stage: str
    layer: int = 0
    head: int = 0
    width_hint: int | None = None


class ExplainParams(ViewParams, frozen=True, kw_only=True):
    """`explain` -> `lab.views.explanation.Explanation` of the number called `ref`, whose own indices say where it is."""

    ref: str


class EvidenceParams(ViewParams, frozen=True, kw_only=True):
    """`evidence` -> `View`: what the training text says about a token. None is the one that the model finds most probable."""

    candidate: int | None = None


class AttributionParams(EvidenceParams, frozen=True, kw_only=True):
    """`attribution` -> `View`: which parts speak for a token, or for it rather than for `against`."""

    against: int | None = None
    by_size: bool = True


class EffectParams(WayParams, frozen=True, kw_only=True):
    """`effect` -> `Effect` of all edits and interventions, at one position."""


class CompareParams(ViewParams, frozen=True, kw_only=True):
    """`compare` -> `View`: the prompt, interventions and all, beside a second one as the model itself takes it.

    Positions are aligned from the end: the second's position is as far from its last token as the first's.
    """

    stage: str = "compare"
    second_text: str = ""
    second_ids: tuple[int, ...] | None = None


class SampleParams(PromptParams, frozen=True, kw_only=True):
    """`sample` -> `Token`, drawn for the place after the prompt."""

    sampling: SamplingSettings = SamplingSettings()


class GenerateParams(SampleParams, frozen=True, kw_only=True):
    """`generate` -> stream of `Token`, `n` of them."""

    n: int


class TraceParams(PromptParams, frozen=True, kw_only=True):
    """`trace_arrays` -> dict of name to `Array`; None asks for every name."""

    names: tuple[str, ...] | None = None


class SaveTraceParams(PromptParams, frozen=True, kw_only=True):
    """`save_trace` -> `SavedTrace`. `path` is absolute, its folder exists; the engine writes, so that nothing large is sent."""

    path: str
    kind: Literal["npz", "json"]


class Request(msgspec.Struct, tag="request", omit_defaults=True):
    """`group`: a newer request of the same group supersedes an older one that still waits or still streams."""

    id: int
    method: str
    params: msgspec.Raw
    group: str | None = None


class Cancel(msgspec.Struct, tag="cancel"):
    """Drops the request if it waits, ends it between two items if it streams. A call that is being worked on runs to its end."""

    id: int


Message = Request | Cancel

ErrorKind = Literal["user", "bug", "superseded", "cancelled"]


class Failure(msgspec.Struct):
    """Why there is no result. `sentence` is for the user; a "bug" also leaves its traceback in the engine's log."""

    kind: ErrorKind
    sentence: str


class Reply(msgspec.Struct, omit_defaults=True):
    id: int
    result: msgspec.Raw = NOTHING
    error: Failure | None = None
    done: bool = True


def frame(message: Message | Reply) -> bytes:
    """The bytes of one frame.

    Raises:
        WireError: if the message is longer than MAX_FRAME.
    """
    body = msgspec.msgpack.encode(message)
    if len(body) > MAX_FRAME:
        raise WireError(f"a message of {len(body)} bytes is longer than a frame may be ({MAX_FRAME})")
    return len(body).to_bytes(HEADER, "little") + body


def body_length(header: bytes) -> int:
    """Length announced by a frame's first HEADER bytes.

    Raises:
        WireError: if no frame can be that long.
    """
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
