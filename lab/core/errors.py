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
