"""Output of the commands: aligned tables, JSON and progress.

On a terminal escape sequences of foreign text are made visible; files and pipes get the text as it is.
"""

import codecs
import io
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TextIO

import click
import msgspec
from rich.cells import cell_len

from lab.core.terminal import has_utf8, in_ascii, places_text, write_ascii
from lab.core.visible_text import visible, visible_json

if TYPE_CHECKING:
    from lab.views.blocks import Table

CONTEXT = 2
"""Characters before a joiner that decide whether it stays: an emoji and its variation selector."""

JOINERS = ("\u200c", "\u200d")


def _is_ascii(encoding: str) -> bool:
    return codecs.lookup(encoding).name == "ascii"


class VisibleStream(io.TextIOWrapper):
    """A terminal stream without escape sequences: control characters other than line breaks and tabs are spelled out.

    Where the terminal has no UTF-8, it gets ASCII marks. `under` is the stream itself, for the sequences that the lab writes on
    purpose.
    """

    def __init__(self, under: io.TextIOWrapper) -> None:
        self.is_ascii = not has_utf8(os.environ, under.encoding)
        # UTF-8 as click does, which would else write around this stream.
        encoding = "utf-8" if _is_ascii(under.encoding) else under.encoding
        super().__init__(under.buffer, encoding=encoding, errors="replace", line_buffering=True, write_through=True)
        self.under = under
        if self.is_ascii:
            write_ascii(under)
        self._before = ""
        self._joiner = ""

    def write(self, text: str) -> int:
        """Write the text; a joiner at its end waits for what it joins."""
        whole = self._joiner + text
        self._joiner = whole[-1:] if whole.endswith(JOINERS) else ""
        whole = whole.removesuffix(self._joiner)
        before = self._before
        self._before = (before + whole)[-CONTEXT:]
        new = visible(before + whole, keep="\n\t")[len(visible(before, keep="\n\t")) :]
        super().write(in_ascii(new) if self.is_ascii else new)
        return len(text)


def make_terminals_visible() -> None:
    """Replace stdout and stderr by a `VisibleStream` where they are a terminal. Files and pipes whose encoding would be ASCII get
    UTF-8, so that no character is lost, nor ends a command."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if isinstance(stream, VisibleStream) or not isinstance(stream, io.TextIOWrapper):
            continue
        if stream.isatty():
            setattr(sys, name, VisibleStream(stream))
        elif _is_ascii(stream.encoding):
            stream.reconfigure(encoding="utf-8", errors="replace")
        else:
            stream.reconfigure(errors="replace")


def redraws(stream: TextIO) -> bool:
    """True where the stream is a terminal that can draw over what it shows, such as a progress bar."""
    return stream.isatty() and places_text(os.environ)


def own_sequences(stream: TextIO) -> TextIO:
    """The stream for the lab's own escape sequences, such as those of a progress bar."""
    return stream.under if isinstance(stream, VisibleStream) else stream


@contextmanager
def passing_bar(stream: TextIO, *, is_shown: bool) -> Iterator[Callable[[str, float], None]]:
    """A function that shows words and the share that is done, 0 to 1, as a bar; the bar goes away at the end."""
    if not is_shown:
        yield lambda words, share: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    columns = TextColumn("{task.description}", markup=False), BarColumn(bar_width=None)
    with Progress(*columns, expand=True, transient=True, console=Console(file=own_sequences(stream))) as bar:
        task = bar.add_task("", total=1.0)
        yield lambda words, share: bar.update(task, description=visible(words), completed=share)


@contextmanager
def passing_line(stream: TextIO) -> Iterator[Callable[[str], None]]:
    """A function that shows words on one line of a terminal, in the place of those before; the line is empty at the end."""
    if not redraws(stream):
        yield lambda words: None
        return
    line = own_sequences(stream)

    def show(words: str) -> None:
        line.write(f"\r\x1b[K{words}")
        line.flush()

    try:
        yield show
    finally:
        show("")


NARROWEST = 24
"""Columns of a terminal below which lines are broken by the terminal."""


def table(header: Sequence[str], rows: Iterable[Sequence[str]], right: Sequence[int] = (), optional: Sequence[int] = ()) -> str:
    """Lines of text with columns aligned, those numbered in `right` to the right. Widths are those of a terminal's cells.

    Of the columns numbered in `optional` the first ones are left out where the terminal is narrower, which a last line says.
    """
    lines = [list(header), *([visible(cell) for cell in row] if sys.stdout.isatty() else list(row) for row in rows)]
    widths = [max(cell_len(line[column]) for line in lines) for column in range(len(header))]
    most, left_out = line_room(), list[int]()
    while most is not None and len(left_out) < len(optional):
        shown = [width for column, width in enumerate(widths) if column not in left_out]
        if sum(shown) + 2 * (len(shown) - 1) <= most:
            break
        left_out.append(optional[len(left_out)])
    out = []
    for line in lines:
        cells = []
        for column, (text, width) in enumerate(zip(line, widths, strict=True)):
            room = " " * (width - cell_len(text))
            if column not in left_out:
                cells.append(room + text if column in right else text + room)
        out.append("  ".join(cells).rstrip())
    if left_out:
        out.append(wrapped(f"… also {', '.join(header[column] for column in left_out)} on a wider terminal."))
    return "\n".join(out)


def table_of(block: "Table") -> str:
    right = [at for at, column in enumerate(block.columns) if column.align == "right"]
    turns = [(column.optional, -at) for at, column in enumerate(block.columns) if column.optional]
    rows = [[cell.text for cell in row] for row in block.rows]
    return table([column.title for column in block.columns], rows, right, [-at for _, at in sorted(turns)])


def line_room() -> int | None:
    """Columns of the terminal that stdout is; None where it is a pipe or a file, whose lines are not broken."""
    return max(NARROWEST, shutil.get_terminal_size().columns) if sys.stdout.isatty() else None


def wrapped(line: str, indent: int = 0) -> str:
    """A line; on a terminal that is narrower, several, broken at spaces, all but the first indented."""
    room = line_room()
    if room is None or cell_len(line) <= room:
        return line
    return click.wrap_text(line, room, "", " " * indent)


def write_raw(text: str) -> None:
    """Write the text to stdout unchanged; click would remove escape sequences where that is a file or a pipe."""
    sys.stdout.write(text)
    sys.stdout.flush()


def write_json(value: object) -> None:
    try:
        encoded = msgspec.json.encode(value)
    except UnicodeEncodeError:
        encoded = msgspec.json.encode(_spelled_out(msgspec.to_builtins(value)))
    click.echo(json_to_show(msgspec.json.format(encoded, indent=2).decode()))


def json_line(value: object) -> str:
    return json_to_show(json.dumps(value, ensure_ascii=False))


def json_to_show(text: str) -> str:
    """JSON for stdout; on a terminal, characters that it would not show as JSON's own escapes: the same data."""
    stream = sys.stdout
    if not stream.isatty():
        return text
    return visible_json(text, ascii_only=isinstance(stream, VisibleStream) and stream.is_ascii)


def _spelled_out(value: Any) -> Any:
    """The value with every byte of a path that is not UTF-8 as `\\udcff`, which JSON can hold."""
    match value:
        case str():
            return value.encode("utf-8", "backslashreplace").decode()
        case dict():
            return {_spelled_out(name): _spelled_out(each) for name, each in value.items()}
        case list() | tuple():
            return [_spelled_out(each) for each in value]
        case _:
            return value
