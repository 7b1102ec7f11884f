"""Words of a view, and of a guess, in the language in use. Numbers, tokens and names of tensors stay as they are."""

from typing import TypeVar

import msgspec

from lab.core.translation import ENGLISH, language, translated, translated_name
from lab.views.blocks import Cell, GuessChoice, Paragraph, Table, TextGrid

WORDS = {"sentence", "title", "legend", "marked_legend", "enter", "note", "question", "answer", "why"}
"""Fields that hold words."""

Part = TypeVar("Part")


def translated_parts(part: Part) -> Part:
    """A view, a question, or any part of them, with its words in the language in use."""
    return part if language() == ENGLISH else _translated(part)


def _translated(part: Part) -> Part:
    if isinstance(part, list | tuple):
        return type(part)(map(_translated, part))
    if not isinstance(part, msgspec.Struct):
        return part
    changes: dict[str, object] = {}
    for name in part.__struct_fields__:
        value = getattr(part, name)
        if isinstance(part, Table) and name in ("total", "rows") and value:  # a row of sums, a column without a title: no tokens
            labelled = name == "total" or not part.columns[0].title
            rows = [[_translated(cell) for cell in row] for row in (value if name == "rows" else [value])]
            for row in rows if labelled else []:
                row[0] = msgspec.structs.replace(row[0], text=translated(row[0].text))
            changes[name] = rows if name == "rows" else rows[0]
        elif name == "column_labels" and isinstance(part, TextGrid):
            changes[name] = [*map(translated, part.column_labels)]
        elif not isinstance(value, str):
            changes[name] = _translated(value)
        elif name in WORDS or isinstance(part, Paragraph):
            changes[name] = translated(value)
        elif name in ("text", "label") and isinstance(part, Cell | GuessChoice):
            changes[name] = translated_name(value)
    return msgspec.structs.replace(part, **changes)  # type: ignore[type-var]
