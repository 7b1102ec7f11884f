r"""Line endings: every line ends in \n."""

import re
from itertools import islice

from lab.data.cleaning.cleaner import Cleaner, Edit, Passage, passages_of, utf8_bytes

ALONE = 2
"""Line ends of a part that are passages of their own; the others are counted together, since every line may have one."""

_RETURN = re.compile(r"\r\n?")


class LineEndings(Cleaner):
    r"""Changes \r\n and a lone \r into \n."""

    def __init__(self) -> None:
        self._held = ""
        r"""A \r at the end of a part, which may go with an \n."""

    def feed(self, text: str, last: bool) -> list[Passage]:
        text = self._whole(text, last)
        edits = [Edit(found.start(), found.end(), "\n") for found in islice(_RETURN.finditer(text), ALONE)]
        end = edits[-1].stop if edits else 0
        passages = passages_of(text[:end], edits)
        rest = text[end:]
        if "\r" in rest:
            pairs = rest.count("\r\n")
            lone = rest.count("\r") - pairs
            passages.append(Passage(rest, _unified(rest), "", pairs + lone, utf8_bytes(rest) - 2 * pairs - lone))
        elif rest:
            passages.append(Passage(rest, rest))
        return passages

    def clean(self, text: str, last: bool) -> str:
        text = self._whole(text, last)
        return _unified(text) if "\r" in text else text

    def _whole(self, text: str, last: bool) -> str:
        text, self._held = self._held + text, ""
        if not last and text.endswith("\r"):
            text, self._held = text[:-1], "\r"
        return text


def _unified(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")
