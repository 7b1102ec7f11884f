"""What the terminal sends, read so that bytes which are no text are one strange character and not the end of the lab."""

import sys
from codecs import IncrementalDecoder, getincrementaldecoder

from textual.driver import Driver


def _lenient(encoding: str) -> type[IncrementalDecoder]:
    found = getincrementaldecoder(encoding)

    class Lenient(found):  # type: ignore[misc, valid-type]
        def __init__(self, errors: str = "replace") -> None:
            super().__init__(errors)

    return Lenient


def read_any_bytes(driver: type[Driver]) -> None:
    """Make `driver` show bytes that are not UTF-8 as �.

    Textual's drivers for Unix decode strictly, so that half a character in a pasted text would end the app; they take their
    decoder from a name of their module. Windows hands over characters, and its driver has no such name.
    """
    names = vars(sys.modules[driver.__module__])
    if "getincrementaldecoder" in names:
        names["getincrementaldecoder"] = _lenient
