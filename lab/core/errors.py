"""What a user's mistake, or a file that cannot be used, becomes."""

from pathlib import Path


class UserError(Exception):
    """What the user asked for cannot be done. The message is one sentence that names the thing, what is wrong and what to do."""


class DamagedFileError(UserError):
    """A file that cannot be used as it is, with the reason: `is a named pipe, not a regular file`."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path} {reason}.")
        self.path = path
        self.reason = reason
