"""The screen that a terminal would show: characters at their places, from the bytes that a program writes to it."""

import codecs
import re
from collections.abc import Callable

from rich.cells import get_character_cell_size

SEQUENCE = re.compile(r"\x1b(?:\[([0-?]*)[ -/]*([@-~])|[PX^_\]].*?(?:\x07|\x1b\\)|[@-OQ-WYZ\\])", re.DOTALL)
UNFINISHED = re.compile(r"\x1b(?:\[[0-?]*[ -/]*|[PX^_\]][^\x07\x1b]*\x1b?)?\Z", re.DOTALL)


class ScreenGrid:
    """Understands the moves of the cursor that the lab makes, and takes every other sequence for one that moves nothing."""

    def __init__(self, size_of: Callable[[str], int] = get_character_cell_size) -> None:
        """`size_of`: character cells that this terminal gives to a character."""
        self._size_of = size_of
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._rest = ""
        self._cells: dict[tuple[int, int], str] = {}
        self._styles: dict[tuple[int, int], str] = {}
        self._pen = ""
        self._at = (0, 0)

    def feed(self, written: bytes) -> None:
        text = self._rest + self._decoder.decode(written)
        cut = UNFINISHED.search(text)
        self._rest = cut[0] if cut else ""
        text = text[: cut.start()] if cut else text
        end = 0
        for found in SEQUENCE.finditer(text):
            self._write(text[end : found.start()])
            end = found.end()
            self._obey(found[1] or "", found[2] or "")
        self._write(text[end:])

    def _obey(self, parameters: str, final: str) -> None:
        if final == "H":
            row, _, column = parameters.partition(";")
            self._at = (int(row or 1) - 1, int(column or 1) - 1)
        elif final == "m":
            codes = ["", *self._pen.split(";")] if self._pen else [""]
            for code in _codes(parameters):
                codes = [""] if code in ("", "0") else [each for each in codes if _kind(each) != _kind(code)] + [code]
            self._pen = ";".join(sorted(each for each in codes if each and each not in ("39", "49")))
        elif parameters + final in ("2J", "?1049h"):
            self._cells.clear()
            self._styles.clear()

    def _write(self, text: str) -> None:
        row, column = self._at
        for letter in text:
            if letter == "\n":
                row += 1
            elif letter == "\r":
                column = 0
            elif letter >= " ":
                self._put(row, column, letter)
                size = self._size_of(letter)
                if size == 2:
                    self._put(row, column + 1, "")
                column += size
        self._at = (row, column)

    def _put(self, row: int, column: int, letter: str) -> None:
        """Draw one cell. What is left of a wide character of which one half is drawn over becomes blank, as in real terminals."""
        if self._cells.get((row, column)) == "" and letter:
            self._cells[row, column - 1] = " "
        if self._cells.get((row, column + 1)) == "":
            self._cells[row, column + 1] = " "
        self._cells[row, column], self._styles[row, column] = letter, self._pen

    def text(self) -> str:
        """All lines, blanks at their ends cut."""
        return "\n".join("".join(letter for letter, _ in line).rstrip() for line in self.lines())

    def lines(self) -> list[list[tuple[str, str]]]:
        """Each line's characters with their style's codes, sorted."""
        rows = 1 + max((row for row, _ in self._cells), default=-1)
        columns = 1 + max((column for _, column in self._cells), default=-1)
        return [
            [(self._cells.get((row, column), " "), self._styles.get((row, column), "")) for column in range(columns)]
            for row in range(rows)
        ]


def _codes(parameters: str) -> list[str]:
    """The codes of an SGR sequence, a colour's kept together with a colon."""
    found = re.findall(r"[34]8;2;\d+;\d+;\d+|[34]8;5;\d+|\d+", parameters)
    return [code.replace(";", ":") for code in found] or [""]


def _kind(code: str) -> str:
    """`ink` and `paper` for colours, else the code itself."""
    number = int(code.partition(":")[0] or 0)
    if number in range(30, 40) or number in range(90, 98):
        return "ink"
    return "paper" if number in range(40, 50) or number in range(100, 108) else code
