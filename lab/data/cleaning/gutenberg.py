"""Project Gutenberg's frame around a book: the header up to its START line, and its END line with the licence after it."""

import re

from lab.data.cleaning.cleaner import BlockCleaner, Passage

FRAME_CHARACTERS = 1 << 16
"""Longest header, and longest licence after a book: about three times as long as they are."""

MARKER_CHARACTERS = 1000
"""Room for a marker: a START line whose title goes over three lines."""

LICENCE_BEGINNING = 1500
"""Characters after an END line in which a licence names itself."""

_START_LINE = r"^ {0,3}(?:\*\*\* ?START OF (?:THE|THIS) PROJECT GUTENBERG E(?:BOOK|TEXT)"
_START = re.compile(
    rf"{_START_LINE}"
    r"(?:[^\n]{0,300}\*\*\*[ \t]{0,20}$\n?|[^\n]{0,300}(?:\n(?![ \t]*\*)[^\n]{0,300}){1,2}?\*\*\*[ \t]{0,20}$\n?|[^\n]{0,300}\n?)"
    r"|\*END\*? ?THE SMALL PRINT![^\n]{0,300}\n?)",
    re.MULTILINE | re.IGNORECASE,
)
_HEADER = re.compile(
    r"^(?:Title: |(?i:E(?:book|text)\s*$|This E(?:book|text) is for the use"
    r"|[* ]{0,9}(?:The |This is the )?Project Gutenberg(?:['’]s|\W{0,2}(?:tm)? ?E(?:book|text))[^\n]*[^.:\n]$))",
    re.MULTILINE,
)
"""A line with which a header begins, or which one holds."""
_QUOTES = ("```", "~~~", '"""', "'''")
"""Signs around code and around text in code: a marker between two of them is quoted."""
_LICENCE = re.compile(r"licen[cs]e|gutenberg|updated editions", re.IGNORECASE)
_END = re.compile(
    r"^ {0,3}(?:\*\*\* ?END OF (?:THE|THIS) PROJECT GUTENBERG E(?:BOOK|TEXT)"
    r"|End of (?:the |this )?Project Gutenberg(?:['’]s|(?:™|-tm)? E(?:book|text)))[^\n]*\n?",
    re.MULTILINE | re.IGNORECASE,
)
_MARKER = re.compile(rf"(?P<start>{_START_LINE})[^\n]*\n?)|{_END.pattern}", re.MULTILINE | re.IGNORECASE)
_LICENCE_END = re.compile(r"newsletter to hear about new ebooks[^\n]*\n?", re.IGNORECASE)


class Gutenberg(BlockCleaner):
    """Removes the frames of the books in a document. A text is left where its first `FRAME_CHARACTERS` have no START line with a
    header above it, or with nothing above it, and where that is quoted in code."""

    def begin_document(self) -> None:
        self._held = ""
        self._place = "head"
        """`head` before a START line, `body` after it, `tail` from an END line on, `other` in a text that is no book."""
        self._books = 0
        self._quotes = _quotes("")
        """Of what was kept."""

    def passages(self, block: str) -> list[Passage]:
        return self._read(self._held + block, last=False)

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
            if not reason and self._place != "other":
                self._quotes ^= _quotes(text[:end])
            text = text[end:]
        return passages

    def _settle(self, text: str, last: bool) -> tuple[str, int]:
        """The end of what can be settled, and the reason for removing it, if it is removed. 0 where more text is needed."""
        if self._place == "head":
            return self._settle_head(text, last)
        if self._place == "tail":
            return self._settle_tail(text, last)
        if self._place == "other":
            return "", len(text)
        marker = _MARKER.search(text)
        if marker is None:
            return "", len(text)
        if marker["start"] and self._quotes ^ _quotes(text[: marker.start()]):
            return "", marker.end()
        if marker.start():
            return "", marker.start()
        if marker["start"]:
            return "header", marker.end()
        self._place = "tail"
        return self._settle_tail(text, last)

    def _settle_head(self, text: str, last: bool) -> tuple[str, int]:
        start, is_settled = _start_line(text, last)
        if not is_settled:
            return "", 0
        head = text[: start.start()] if start is not None else ""
        header = _HEADER.search(head)
        if start is None or self._quotes ^ _quotes(head) or not (header or not head.strip()):
            self._place = "body" if self._books else "other"
            return self._settle(text, last)
        preface = head[: header.start()] if header is not None else ""
        return ("", len(preface)) if preface.strip() else self._begin_book(start)

    def _settle_tail(self, text: str, last: bool) -> tuple[str, int]:
        end = _END.match(text)
        if end is not None and not last and len(text) < end.end() + LICENCE_BEGINNING:
            return "", 0
        if end is not None:
            stop = end.end() + LICENCE_BEGINNING
            header = _HEADER.search(text, end.end(), stop)
            if _LICENCE.search(text, end.end(), header.start() if header is not None else stop) is None:
                self._place = "head"
                return "licence", end.end()
        start, is_settled = _start_line(text, last)
        licence_end = _LICENCE_END.search(text, 0, FRAME_CHARACTERS + MARKER_CHARACTERS)
        if licence_end is not None and (start is None or licence_end.start() < start.start()):
            if licence_end.end() == len(text) and not text.endswith("\n") and not last:
                return "", 0
            self._place = "head"
            return "licence", licence_end.end()
        if not is_settled:
            return "", 0
        if start is not None:
            return self._begin_book(start)
        self._place = "body"
        return "licence", len(text) if len(text) <= FRAME_CHARACTERS else (text.find("\n") + 1 or len(text))

    def _begin_book(self, start: re.Match[str]) -> tuple[str, int]:
        self._place = "body"
        self._books += 1
        return "header", start.end()


def _quotes(text: str) -> int:
    """For each of the quotes a bit: 1 if the text holds an odd number of it, so that one is open at its end."""
    return sum(text.count(quote) % 2 << at for at, quote in enumerate(_QUOTES))


def _start_line(text: str, last: bool) -> tuple[re.Match[str] | None, bool]:
    """The first START line that begins within `FRAME_CHARACTERS`, and true if more text would change nothing about it."""
    found = _START.search(text)
    if found is not None and found.start() < FRAME_CHARACTERS:
        return found, last or len(text) >= found.start() + MARKER_CHARACTERS
    return None, last or len(text) >= FRAME_CHARACTERS + MARKER_CHARACTERS
