"""Project Gutenberg's frame around a book: the header up to its START line, and its END line with the licence after it."""

import re

from lab.data.cleaning.cleaner import BlockCleaner, Passage

FRAME_CHARACTERS = 1 << 16
"""Longest header, and longest licence after a book: about three times as long as they are."""

MARKER_CHARACTERS = 1000
"""Room for a marker: a START line whose title goes over three lines."""

_START = re.compile(
    r"^[ \t]{0,20}(?:\*\*\* ?START OF (?:THE|THIS) PROJECT GUTENBERG E(?:BOOK|TEXT)"
    r"(?:[^\n]{0,300}\*\*\*[ \t]{0,20}$\n?|[^\n]{0,300}(?:\n(?![ \t]*\*)[^\n]{0,300}){1,2}?\*\*\*[ \t]{0,20}$\n?|[^\n]{0,300}\n?)"
    r"|\*END\*? ?THE SMALL PRINT![^\n]{0,300}\n?)",
    re.MULTILINE | re.IGNORECASE,
)
_END = re.compile(
    r"^[ \t]{0,20}(?:\*\*\* ?END OF (?:THE|THIS) PROJECT GUTENBERG E(?:BOOK|TEXT)"
    r"|End of (?:the |this )?Project Gutenberg(?:['’]s|(?:™|-tm)? E(?:book|text)))[^\n]*\n?",
    re.MULTILINE | re.IGNORECASE,
)
_LICENCE_END = re.compile(r"newsletter to hear about new ebooks[^\n]*\n?", re.IGNORECASE)


class Gutenberg(BlockCleaner):
    """Removes the frames of the books in a document. A text without a START line in its first `FRAME_CHARACTERS` is left."""

    def begin_document(self) -> None:
        self._held = ""
        self._place = "head"
        """`head` before a START line, `body` after it, `tail` from an END line on, `other` in a text that is no book."""
        self._books = 0

    def passages(self, block: str) -> list[Passage]:
        return self._read(self._held + block, last=False)

    def cleaned(self, block: str) -> str:
        return "".join(passage.after for passage in self.passages(block))

    def end_document(self) -> list[Passage]:
        return self._read(self._held, last=True)

    def _read(self, text: str, *, last: bool) -> list[Passage]:
        """Settle as much of the text as can be, and hold the rest."""
        passages: list[Passage] = []
        self._held = ""
        while text:
            reason, end = self._settle(text, last)
            if not end:
                self._held = text
                break
            passages.append(Passage(text[:end], "" if reason else text[:end], reason))
            text = text[end:]
        return passages

    def _settle(self, text: str, last: bool) -> tuple[str, int]:
        """The end of what can be settled, and the reason for removing it, if it is removed. 0 where more text is needed."""
        if self._place == "head":
            return self._settle_head(text, last)
        if self._place == "tail":
            return self._settle_tail(text, last)
        end = _END.search(text) if self._place == "body" else None
        if end is None:
            return "", len(text)
        self._place = "tail"
        return ("", end.start()) if end.start() else self._settle_tail(text, last)

    def _settle_head(self, text: str, last: bool) -> tuple[str, int]:
        start, is_settled = _start_line(text, last)
        if start is not None:
            return self._begin_book(start, is_settled)
        if not is_settled:
            return "", 0
        self._place = "body" if self._books else "other"
        return "", len(text)

    def _settle_tail(self, text: str, last: bool) -> tuple[str, int]:
        start, is_settled = _start_line(text, last)
        licence_end = _LICENCE_END.search(text, 0, FRAME_CHARACTERS + MARKER_CHARACTERS)
        if licence_end is not None and (start is None or licence_end.start() < start.start()):
            if licence_end.end() == len(text) and not text.endswith("\n") and not last:
                return "", 0
            self._place = "head"
            return "licence", licence_end.end()
        if start is not None:
            return self._begin_book(start, is_settled)
        if not is_settled:
            return "", 0
        self._place = "body"
        return "licence", len(text) if len(text) <= FRAME_CHARACTERS else (text.find("\n") + 1 or len(text))

    def _begin_book(self, start: re.Match[str], is_settled: bool) -> tuple[str, int]:
        if not is_settled:
            return "", 0
        self._place = "body"
        self._books += 1
        return "header", start.end()


def _start_line(text: str, last: bool) -> tuple[re.Match[str] | None, bool]:
    """The first START line that begins within `FRAME_CHARACTERS`, and true if more text would change nothing about it."""
    found = _START.search(text)
    if found is not None and found.start() < FRAME_CHARACTERS:
        return found, last or len(text) >= found.start() + MARKER_CHARACTERS
    return None, last or len(text) >= FRAME_CHARACTERS + MARKER_CHARACTERS
