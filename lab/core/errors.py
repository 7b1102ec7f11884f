"""Errors that are shown to the user as one sentence, without a traceback."""

from pathlib import Path


class UserError(Exception):
    """A request that cannot be carried out. The message is one sentence: the thing, what is wrong, what to do."""


class DamagedFileError(UserError):
    """A file that cannot be used as it is, with the reason: `is a named pipe, not a regular file`."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path} {reason}.")
        self.path = path
        self.reason = reason


def name_error(error: BaseException) -> str:
    """Type of an unexpected error, and the first line of its message: `KeyError: 'a'`. Those of CUDA have several lines.

    A line that ends in a colon has the next one after it.
    """
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    words = " ".join(lines[:2] if lines and lines[0].endswith(":") else lines[:1]).rstrip(" .:")
    return f"{type(error).__name__}: {words}" if words else type(error).__name__
