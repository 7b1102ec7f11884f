"""Output of the commands: tables that align for any script, plain text and JSON."""

import sys
from collections.abc import Iterable, Sequence

import click
import msgspec
from rich.cells import cell_len

from lab.core.visible_text import visible, visible_json


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


def write_text(text: str) -> None:
    """The text on stdout as it is: click takes escape sequences out of what goes to a file or a pipe."""
    sys.stdout.write(text)
    sys.stdout.flush()


def write_json(value: object) -> None:
    """The value as indented JSON on stdout; on a terminal, hidden characters as JSON's own escapes: the same data."""
    text = msgspec.json.format(msgspec.json.encode(value), indent=2).decode()
    click.echo(visible_json(text) if sys.stdout.isatty() else text)
