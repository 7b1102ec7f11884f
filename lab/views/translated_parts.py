"""Words of a view, and of a guess, in the language in use. Numbers, tokens and names of tensors stay as they are."""

import re
from collections.abc import Callable
from typing import TypeVar

import msgspec

from lab.core.translation import ENGLISH, language, translated, translated_name
from lab.views.blocks import Cell, Column, GuessChoice, IntervalPart, Matrix, Paragraph, StackedStrips, Table, TextGrid, View

WORDS = {"sentence", "title", "legend", "marked_legend", "enter", "note", "masked", "summary", "caption"}
WORDS |= {"question", "answer", "why"}
"""Fields that hold words."""
LABELS: dict[str, type[msgspec.Struct]] = {"column_labels": TextGrid, "labels": StackedStrips}
"""Fields that hold names, by the block in which they are not tokens."""
LABELLED = {"", "norm", "vector", "part", "the draw", "made of", "weight", "dimension"}
"""Titles of the columns of a table's rows that are labelled with words; under other titles stand tokens."""
USERS = {
    "begins",
    "hardest token",
    "question",
    "answer to learn",
    "right",
    "answer",
    "asked (right)",
    "an answer",
    "greedy",
    "name",
}
"""Titles of the columns under which stands text that is the user's, or the model's."""
TEXTS = {"text", "→ text"}
"""Labels of rows with such a text."""
_NUMBERED = re.compile(r" *\d+ \s*\S+")
"""A token and its place, such as `10 steps`."""
MEANT = {"after": "after …", "norm": "vector norm", "saved": "multiplications saved", "score": "softmax score"}
"""What words mean that are used in another sense elsewhere."""
_BETWEEN = re.compile("(, (?!to )|: | › | → |(?:^| )[×=] )")
"""Between the words of an explanation: the name of a number, its layer and its place."""
_WIDE, _WIDE_SIGNS = re.compile("[\u3000-\u9fff]"), {", ": "，", ": ": "："}
"""Chinese, and its signs for those between words."""

Part = TypeVar("Part")
Translate = Callable[[str], str]


def translated_parts(part: Part) -> Part:
    """A view, a question, or any part of them, with its words in the language in use."""
    return part if language() == ENGLISH else _translated(part, translated)


def translated_title(view: View) -> str:
    """The title of a view in the language in use."""
    return _translation_in(view)(view.title)


def _translation_in(view: View) -> Translate:
    return _by_phrases if view.stage.startswith("explain ") and language() != ENGLISH else translated


def _translated(part: Part, say: Translate) -> Part:
    if isinstance(part, list | tuple):
        return type(part)(_translated(each, say) for each in part)
    if not isinstance(part, msgspec.Struct):
        return part
    if isinstance(part, View):
        say = _translation_in(part)
    changes: dict[str, object] = {}
    for name in part.__struct_fields__:
        value = getattr(part, name)
        if isinstance(part, Table) and name in ("total", "rows") and value:  # a row of sums, rows with labels: no tokens
            first = part.columns[0].title
            labelled = name == "total" or first in LABELLED or first.startswith("over ")
            rows = [_row(part, row, say, labelled) for row in (value if name == "rows" else [value])]
            changes[name] = rows if name == "rows" else rows[0]
        elif isinstance(part, Column) and value in MEANT and (value != "after" or part.align == "left"):
            changes[name] = say(MEANT[value])
        elif isinstance(part, Matrix) and name in ("row_labels", "column_labels"):  # alone, a column's label is a token
            is_token = name == "column_labels" and value != part.row_labels
            is_token |= all(map(_NUMBERED.match, value))
            changes[name] = value if is_token else [*map(translated_name, value)]
        elif name in LABELS and isinstance(part, LABELS[name]):
            changes[name] = [*map(say, value)]
        elif not isinstance(value, str):
            changes[name] = _translated(value, say)
        elif isinstance(part, Paragraph):
            changes[name] = "\n".join(map(translated, value.split("\n")))
        elif name in WORDS or (name == "label" and isinstance(part, IntervalPart) and not part.ref):
            changes[name] = say(value)
        elif name == "label" and isinstance(part, GuessChoice):
            changes[name] = translated_name(value)
    return msgspec.structs.replace(part, **changes)  # type: ignore[type-var]


def _row(table: Table, row: list[Cell], say: Translate, labelled: bool) -> list[Cell]:
    own = []
    for at, cell in enumerate(row):
        is_label = at == 0 and not labelled  # a token, or what it stands beside
        is_data = table.columns[at].title in USERS or (at > 0 and row[0].text in TEXTS)
        is_data |= is_label and cell.style != "dim" and _NUMBERED.fullmatch(cell.text) is not None
        is_word = not is_label and (at == 0 or cell.style in ("dim", "masked"))
        own.append(cell if is_data else _cell(cell, say, is_word))
    return own


def _cell(cell: Cell, say: Translate, is_word: bool) -> Cell:
    """A cell in the language in use; a single word is one where it is told to be."""
    text = say(MEANT.get(cell.text, cell.text)) if is_word or " " in cell.text.strip() else cell.text
    return msgspec.structs.replace(cell, text=text, note=translated(cell.note))


def _by_phrases(text: str) -> str:
    """Each phrase of the text in the language in use, or else the text."""
    phrases = _BETWEEN.split(text)
    own = [*map(_phrase, phrases)]
    if any(" " in phrase.strip() and phrase == each for phrase, each in zip(phrases, own, strict=True)):
        return translated(text)
    signs = _WIDE_SIGNS if _WIDE.search("".join(own)) else {}
    return "".join(signs.get(each, each) for each in own)


def _phrase(text: str) -> str:
    """A phrase in the language in use, or as it is within a sentence, where it begins one."""
    text = MEANT.get(text, text)
    within = text[:1].lower() + text[1:]
    if (own := translated(text)) != text or (inner := translated(within)) == within:
        return own
    return inner[:1].upper() + inner[1:]
