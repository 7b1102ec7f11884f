"""Output of the commands: tables that align for any script, plain text and JSON."""

import shutil
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import click
import msgspec
from rich.cells import cell_len

from lab.cli.visible_output import json_to_show
from lab.core.visible_text import visible

if TYPE_CHECKING:
    from lab.views.blocks import Table

NARROWEST = 24
"""Columns of a terminal below which lines are broken by the terminal."""


def table(header: Sequence[str], rows: Iterable[Sequence[str]], right: Sequence[int] = (), optional: Sequence[int] = ()) -> str:
    """Lines of text with columns aligned, those numbered in `right` to the right. Widths are those of a terminal's cells.

    Of the columns numbered in `optional` the first ones are left out where the terminal is narrower, which a last line says.
    """
    lines = [list(header), *([visible(cell) for cell in row] if sys.stdout.isatty() else list(row) for row in rows)]
    widths = [max(cell_len(line[column]) for line in lines) for column in range(len(header))]
    most, left_out = line_room(), list[int]()
    while most is not None and len(left_out) < len(optional) and _width(widths, left_out) > most:
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
    """A table of a view, without its bars."""
    right = [at for at, column in enumerate(block.columns) if column.align == "right"]
    turns = [(column.optional, -at) for at, column in enumerate(block.columns) if column.optional]
    rows = [[cell.text for cell in row] for row in block.rows]
    return table([column.title for column in block.columns], rows, right, [-at for _, at in sorted(turns)])


def _width(widths: Sequence[int], left_out: Sequence[int]) -> int:
    shown = [width for column, width in enumerate(widths) if column not in left_out]
    return sum(shown) + 2 * (len(shown) - 1)


def line_room() -> int | None:
    """Columns of the terminal that stdout is; None where it is a pipe or a file, whose lines are not broken."""
    return max(NARROWEST, shutil.get_terminal_size().columns) if sys.stdout.isatty() else None


def wrapped(line: str, indent: int = 0) -> str:
    """A line; on a terminal that is narrower, several, broken at spaces, all but the first indented."""
    room = line_room()
    if room is None or cell_len(line) <= room:
        return line
    return click.wrap_text(line, room, "", " " * indent)


def write_text(text: str) -> None:
    """The text on stdout as it is: click takes escape sequences out of what goes to a file or a pipe."""
    sys.stdout.write(text)
    sys.stdout.flush()


def write_json(value: object) -> None:
    """The value as indented JSON on stdout."""
    try:
        encoded = msgspec.json.encode(value)
    except UnicodeEncodeError:
        encoded = msgspec.json.encode(_spelled_out(msgspec.to_builtins(value)))
    click.echo(json_to_show(msgspec.json.format(encoded, indent=2).decode()))


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
