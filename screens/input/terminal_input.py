"""Input from the terminal: invalid UTF-8 becomes �, and end of input ends the app."""

import os
import signal
import sys
from codecs import IncrementalDecoder, getincrementaldecoder

from textual.driver import Driver


def _lenient(encoding: str) -> type[IncrementalDecoder]:
    found = getincrementaldecoder(encoding)

    class Lenient(found):  # type: ignore[misc, valid-type]
        def __init__(self, errors: str = "replace") -> None:
            super().__init__(errors)

        def decode(self, input: bytes, final: bool = False) -> str:
            if not input and not final:
                # The terminal is gone. Where a shell sends SIGHUP, this is never reached.
                os.kill(os.getpid(), signal.SIGTERM)
            return str(super().decode(input, final))

    return Lenient


def accept_invalid_utf8(driver: type[Driver]) -> None:
    """Make `driver` show bytes that are not UTF-8 as �, and end the lab when its terminal is gone.

    Textual's drivers for Unix decode strictly, so that half a character in a pasted text would end the app; they take their
    decoder from a name of their module. After the end they would read nothing, again and again, with a whole core. Windows hands
    over characters, and its driver has no such name.
    """
    names = vars(sys.modules[driver.__module__])
    if "getincrementaldecoder" in names:
        names["getincrementaldecoder"] = _lenient
