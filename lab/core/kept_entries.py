"""Files of what was measured here, beside the runs: to lose one costs nothing but time, since it is measured again."""

from contextlib import suppress
from pathlib import Path
from typing import Any, Generic, TypeVar

import msgspec

from lab.core.atomic_io import LOCK_TIMEOUT, folder_lock, os_error_in_words, write_atomic
from lab.core.errors import DamagedFileError
from lab.core.safe_open import LARGEST_CONFIG, make_private_folder, read_json
from lab.core.visible_text import quoted

T = TypeVar("T")


class KeptEntries(Generic[T]):
    """One file in the folder of runs: a JSON object of pairs, or a list."""

    def __init__(self, name: str, kind: Any, most: int = 10_000, *, is_list: bool = False) -> None:
        """The latest `most` entries of the type `kind` are kept."""
        self.name, self._kind, self._most, self._is_list = name, kind, most, is_list

    def known(self, home: Path) -> list[T]:
        """The entries that are of this type and within its bounds; none where the file cannot be read."""
        try:
            entries: Any = read_json(home / self.name, list[Any] if self._is_list else dict[str, Any], LARGEST_CONFIG)
        except (OSError, DamagedFileError):
            return []
        kept = list[T]()
        for entry in entries if self._is_list else entries.items():
            with suppress(msgspec.ValidationError):
                kept.append(msgspec.convert(entry, self._kind))
        return kept[-self._most :]

    def keep(self, home: Path, entry: T, what: str, timeout: float = LOCK_TIMEOUT) -> None:
        """Add an entry once no other process writes the file. `what` it is tells the UserError if the system refuses."""
        try:
            make_private_folder(home)
            with folder_lock(home, timeout):
                kept: Any = [*self.known(home), entry]
                kept = kept if self._is_list else list(dict(kept).items())
                contents = msgspec.json.encode(kept[-self._most :] if self._is_list else dict(kept[-self._most :]))
                write_atomic(home / self.name, msgspec.json.format(contents, indent=1))
        except OSError as error:
            raise os_error_in_words(error, f"keep {what} in {home}") from error

    def forget(self, home: Path) -> int:
        """Remove the file; returns the number of its entries. Raises UserError if the system refuses."""
        count, path = len(self.known(home)), home / self.name
        try:
            with folder_lock(home):
                path.unlink(missing_ok=True)
        except OSError as error:
            raise os_error_in_words(error, f"remove {quoted(str(path))}") from error
        return count
