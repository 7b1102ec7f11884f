"""A view in words alone, top to bottom, each number with its name; and as Markdown and HTML, for notebooks."""

import html
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from lab.core.number_format import probability, significant
from lab.core.visible_text import visible
from lab.views import blocks as of
from lab.views.blocks import Block, View

STYLE = """<style>
.llmlab { color-scheme: light dark; overflow-x: auto; color: #1f2328; background: #ffffff; padding: 0.5em }
.llmlab td, .llmlab th { padding: 0.1em 0.6em; text-align: right; border: 0; color: inherit }
.llmlab td:first-child { text-align: left; font-weight: bold }
.llmlab td { background: color-mix(in srgb, #3b82f6 var(--share, 0%), transparent) }
@media (prefers-color-scheme: dark) { .llmlab { color: #e6edf3; background: #0d1117 } }
</style>"""


DRAWN = re.compile(r"[\u2500-\u259f]+ *")
"""Lines, boxes and bars of text."""


class Rows(NamedTuple):
    """A table in words: a row begins with its name. `shares` are 0 to 1, of the cells behind it."""

    title: str
    header: list[str]
    rows: list[list[str]]
    shares: np.ndarray | None = None


def _parts(block: Block) -> Iterator[Rows | str]:
    match block:
        case of.Paragraph(text):
            yield text
        case of.Table():
            rows = [[cell.text for cell in row] for row in [*block.rows, *([block.total] if block.total else [])]]
            yield Rows(block.title, [column.title for column in block.columns], rows)
        case of.MatrixPanels():
            for matrix in block.matrices:
                yield from _parts(matrix)
        case of.Matrix():
            values = block.values.numpy()
            numbers = [[block.masked if np.isnan(x) else significant(float(x)) for x in row] for row in values]
            largest = max(float(np.nanmax(np.abs(values), initial=0.0)), 1e-30)
            yield _named(block.title, block.row_labels, block.column_labels, numbers, np.nan_to_num(np.abs(values)) / largest)
        case of.Strip() | of.StackedStrips():
            values = np.atleast_2d(block.values.numpy())
            labels, first = ([""], block.first) if isinstance(block, of.Strip) else (block.labels, 1)
            columns = [f"value {first + at}" for at in range(values.shape[1])]
            yield _named(block.title, labels, columns, [[significant(float(x)) for x in row] for row in values])
        case of.TextGrid():
            cells = [
                [f"{text} {probability(float(p))}" for text, p in zip(*both, strict=True)]
                for both in zip(block.texts, block.values.numpy(), strict=True)
            ]
            yield _named(block.title, block.row_labels, block.column_labels, cells, block.values.numpy())
        case of.Gallery():
            words = [
                [each.caption, each.summary, "" if each.value is None else significant(each.value)] for each in block.thumbnails
            ]
            yield _named(block.title, [each.label for each in block.thumbnails], ["", "", "value"], words)
        case of.IntervalBar():
            ends = [[significant(part.low), significant(part.high)] for part in block.parts]
            yield _named(block.title, [part.label for part in block.parts], ["from", "to"], ends)
            yield f"{block.mark_label} {significant(block.mark)}, in {block.parts[block.selected].label}."


def _named(
    title: str, names: Sequence[str], header: Sequence[str], rows: list[list[str]], shares: np.ndarray | None = None
) -> Rows:
    return Rows(title, ["", *header], [[name, *row] for name, row in zip(names, rows, strict=True)], shares)


def in_words(view: View) -> Iterator[str]:
    """The view as lines: a row of a table is one, which begins with its name. What is drawn with signs is left out."""
    for line in _lines(view):
        yield DRAWN.sub("", line)


def _lines(view: View) -> Iterator[str]:
    yield from filter(None, (f"{view.title}.", view.sentence))
    for part in (part for block in view.blocks for part in _parts(block)):
        if isinstance(part, str):
            yield part
            continue
        yield from [f"{part.title}:"] if part.title else []
        for name, *cells in part.rows:
            told = (f"{title} {cell}".strip() for title, cell in zip(part.header[1:], cells, strict=True) if cell.strip())
            said = f"{part.header[0]} {' '.join(name.split())}".strip()
            yield f"{said}: {'; '.join(told)}." if said else f"{'; '.join(told)}."


def _written(view: View, text: Callable[[str], str], table: Callable[[Rows], str]) -> str:
    parts = [view.title, view.sentence, *(part for block in view.blocks for part in _parts(block))]
    return "\n".join(text(part) if isinstance(part, str) else table(part) for part in parts if part)


@dataclass(frozen=True)
class Shown:
    """A view as a notebook shows it; printed, in words alone."""

    view: View

    def __str__(self) -> str:
        return "\n".join(in_words(self.view))

    def _repr_markdown_(self) -> str:
        def safe(text: str) -> str:
            return re.sub(r"([\\`*_\[\]|])", r"\\\1", html.escape(visible(text), quote=False))

        def table(part: Rows) -> str:
            lines = [[safe(cell) for cell in line] for line in (part.header, *part.rows)]
            lines.insert(1, ["---"] * len(part.header))
            return f"{safe(part.title)}\n\n" + "".join(f"| {' | '.join(line)} |\n" for line in lines)

        return _written(self.view, lambda text: f"{safe(text)}\n", table)

    def _repr_html_(self) -> str:
        def safe(text: str) -> str:
            return html.escape(visible(text))

        def table(part: Rows) -> str:
            def cell(row: int, at: int, text: str) -> str:
                share = 60 * float(part.shares[row, at - 1]) if part.shares is not None and at else 0
                return f'<td style="--share: {share:.0f}%">{safe(text)}</td>'

            header = "".join(f"<th>{safe(each)}</th>" for each in part.header)
            rows = ("".join(cell(row, at, text) for at, text in enumerate(cells)) for row, cells in enumerate(part.rows))
            body = "".join(f"<tr>{row}</tr>" for row in rows)
            return f"<p>{safe(part.title)}</p><table><tr>{header}</tr>{body}</table>"

        return f'<div class="llmlab">{STYLE}{_written(self.view, lambda text: f"<p>{safe(text)}</p>", table)}</div>'
