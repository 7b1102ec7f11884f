"""Output of the commands: tables that align for any script, plain text and JSON."""

import shutil
import sys
from collections.abc import Iterable, Sequence
from typing import Any

import click
import msgspec
from rich.cells import cell_len

from lab.cli.visible_output import json_to_show
from lab.core.visible_text import visible

NARROWEST = 24
"""Columns of a terminal below which lines are broken by the terminal."""


def table(header: Sequence[str], rows: Iterable[Sequence[str]], right: Sequence[int] = ()) -> str:
    """Lines of text with columns aligned, those numbered in `right` to the right. Widths are those of a terminal's cells."""
    lines = [list(header), *([visible(cell) for cell in row] if sys.stdout.isatty() else list(row) for row in rows)]
    widths = [max(cell_len(line[column]) for line in lines) for column in range(len(header))]
    out = []
    for line in lines:
        cells = []
        for column, (text, width) in enumerate(zip(line, widths, strict=True)):
            room = " " * (width - cell_len(text))
            cells.append(room + text if column in right else text + room)
        out.append("  ".join(cells).rstrip())
    return "\n".join(out)


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
