"""Learner's code: executed, called, and what came of it told as bytes, in the process that it has for itself."""

import io
import traceback
import warnings
from bdb import BdbQuit
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from lab.core.errors import UserError
from lab.exercises.exercise import NAMES

TRACEBACK_LINES = 8
MOST_WARNINGS = 20
NO_MESSAGE = "no message"
ASKS = "It asks for input, as a debugger does, and a check has nobody who answers."
NO_MEMORY = "It asked for more memory than it may have."
SENTENCES: tuple[tuple[type[BaseException], str, str], ...] = (
    (NotImplementedError, NO_MESSAGE, "It is not written yet."),
    (SystemExit, "", "It called sys.exit."),
    (EOFError, "EOF when reading", ASKS),
    (BdbQuit, "", ASKS),
    (MemoryError, "", NO_MEMORY),
    (RuntimeError, "tried to allocate", NO_MEMORY),
    (RecursionError, "", "It calls itself without an end."),
    (RuntimeError, "does not require grad", "It asks torch for gradients, which a check has switched off: compute them by hand."),
)
"""What an error means: its type, a part of its message, and the sentence."""

ARRAY = 1
"""Number of a kind of values that msgpack does not know."""


class Told(msgspec.Struct, frozen=True, omit_defaults=True):
    """What came of one call of the learner's code, of loading it, or a warning."""

    value: Any = None
    changes_arguments: bool = False
    error: str = ""
    """What an error means, in a sentence."""
    error_type: str = ""
    traceback: list[str] = []
    """The learner's own lines of it."""
    warning: str = ""


class LearnerCode:
    """Code of these files, and where what comes of it is sent."""

    def __init__(self, files: Iterable[str], send: Callable[[bytes], None]) -> None:
        self._files, self._send = set(files), send
        self._warned = 0
        warnings.showwarning = self._warn

    def tell(self, work: Callable[[], Told]) -> bool:
        """Send what came of this work. False if it raised an error."""
        try:
            message, is_right = ENCODER.encode(work()), True
        except BaseException as error:  # whatever the learner's code raises, sys.exit included, is what is to be told
            told = Told(error=described(error), error_type=type(error).__name__, traceback=self._own_lines(error))
            message, is_right = ENCODER.encode(told), False
        self._send(message)
        return is_right

    def _own_lines(self, error: BaseException) -> list[str]:
        """The lines of an error that are the learner's; none where the code is not written yet."""
        if isinstance(error, NotImplementedError) and not error.args:  # as the template raises it
            return []
        frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename in self._files]
        return [f"{Path(frame.filename).name}, line {frame.lineno}: {frame.line}" for frame in frames][-TRACEBACK_LINES:]

    def _warn(
        self,
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: object = None,
        line: object = None,
    ) -> None:
        """Send a warning of a line of the learner's."""
        self._warned += filename in self._files
        if filename in self._files and self._warned <= MOST_WARNINGS:
            self._send(ENCODER.encode(Told(warning=f"{Path(filename).name}, line {lineno}: {category.__name__}: {message}")))


def executed(name: str, file: Path) -> Callable[..., Any]:
    """The function that a file defines. Raises what its code raises, and UserError where it does not define it."""
    values: dict[str, Any] = {"__name__": name, "__file__": str(file)}
    exec(compile(file.read_bytes(), str(file), "exec"), values)
    if not callable(values.get(name)):
        raise UserError(f"The file has to define a function called {name}.")
    function: Callable[..., Any] = values[name]
    return function


def called(function: Callable[..., Any], arguments: Sequence[Any], given: Sequence[Any]) -> Told:
    """What a function returns for these arguments, which are to stay as those `given` are. Raises what it raises."""
    value = plain(function(*arguments))
    return Told(value, changes_arguments=not all(map(same, given, arguments)))


def same(one: Any, other: Any) -> bool:
    """True where an argument is as it was."""
    if isinstance(one, dict):
        return isinstance(other, dict) and one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if hasattr(one, "detach"):
        return type(one) is type(other) and one.shape == other.shape and bool((one == other).all())
    return bool(one == other)


def plain(value: Any) -> Any:
    """A result as numbers alone: tensors and the like as arrays, tuples as lists of results, lists and dicts as they are; of any
    other value, the name of its type."""
    if hasattr(value, "detach"):
        value = value.detach().cpu()
        return np.asarray(value.float().numpy() if value.is_floating_point() else value.numpy())
    if isinstance(value, tuple):
        return [plain(each) for each in value]
    if value is None or isinstance(value, bool | int | float | list | dict):
        return value
    found = np.asarray(value) if hasattr(value, "__array__") else None
    return found if found is not None and found.dtype.kind in "biufc" else type(value).__name__


def _packed(value: Any) -> Any:
    if isinstance(value, int | float):
        return int(value) if isinstance(value, int) else float(value)
    value = plain(value)
    if isinstance(value, np.ndarray) and not value.ndim and value.dtype.kind in "biu":
        return value.item()
    if not isinstance(value, np.ndarray):
        return value
    np.save(file := io.BytesIO(), value, allow_pickle=False)
    return msgspec.msgpack.Ext(ARRAY, file.getvalue())


def _unpacked(_: int, content: memoryview) -> Any:
    return np.load(io.BytesIO(content), allow_pickle=False)


ENCODER = msgspec.msgpack.Encoder(enc_hook=_packed)
DECODER = msgspec.msgpack.Decoder(Told, ext_hook=_unpacked)


def described(error: BaseException) -> str:
    """What an error of the learner's code means, in a sentence."""
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, SyntaxError):
        return f"Line {error.lineno} is no Python: {error.msg}." if error.lineno else f"It is no Python: {error.msg}."
    if isinstance(error, ImportError) and error.name in NAMES:
        return f"From {error.name} only {error.name} itself can be imported; what else you need has to stand in this file, too."
    try:
        message = str(error).strip() or NO_MESSAGE
    except Exception:  # of the learner's own class
        message = "its message cannot be made"
    said = (sentence for kind, part, sentence in SENTENCES if isinstance(error, kind) and part in message)
    return next(said, f"{type(error).__name__}: {message}".encode("utf-8", "backslashreplace").decode())
