"""Glossary: each term that the lab uses in two lines, with the place where it can be seen, read from Markdown.

A section of `terms.md` is a term, its other names if it has any, its place, and its text:

    ## attention sink
    also: first-token sink
    see: inspect, stage=heads
    A token, mostly the first, that gets much of a head's attention.

The place is a mode, and fields of `lab.views.screen_state.ScreenState`.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import msgspec

from lab.core.errors import UserError
from lab.lessons.translation import language, read_in_language, read_lesson_file
from lab.views.screen_state import ScreenState

TERMS = Path(__file__).with_name("terms.md")

_SECTION = re.compile(
    r"(?P<name>\S.*)\n(?:also: (?P<also>.+)\n)?see: (?P<mode>\w+)(?P<fields>(?:, \w+=[^,\n]+)*)\n(?P<text>\S[^#]*)"
)


@dataclass(frozen=True)
class Term:
    name: str
    also: tuple[str, ...]
    """Its other names."""
    text: str
    place: ScreenState
    """Where it can be seen."""

    @property
    def names(self) -> list[str]:
        return [name.casefold() for name in (self.name, *self.also)]


def parse_glossary(path: Path, text: str) -> list[Term]:
    """The terms in the text of a file. Raises: UserError, naming the file and the term, where one is not in the form above."""
    terms = []
    for section in text.split("\n## ")[1:]:
        match = _SECTION.fullmatch(section.strip())
        if match is None:
            title = section.partition("\n")[0]
            raise UserError(f"The term {title} in {path} needs a line such as see: inspect, stage=heads, and its text after it.")
        fields = dict(each.split("=", 1) for each in match["fields"].split(", ")[1:])
        place = msgspec.convert({"mode": match["mode"], **fields}, ScreenState, strict=False)
        also = tuple(match["also"].split(", ")) if match["also"] else ()
        terms.append(Term(match["name"], also, " ".join(match["text"].split()), place))
    return terms


def glossary() -> tuple[Term, ...]:
    """All terms, in the language in use; each has its English names, too."""
    return _glossary(language())


@cache
def _glossary(_: str) -> tuple[Term, ...]:
    english, own = (parse_glossary(TERMS, read(TERMS)) for read in (read_lesson_file, read_in_language))
    terms = []
    for term, same in zip(own, english, strict=True):
        name, *also = dict.fromkeys([term.name, *term.also, same.name, *same.also])
        terms.append(replace(term, name=name, also=tuple(also)))
    return tuple(sorted(terms, key=lambda term: term.name.casefold()))


def find_terms(query: str, terms: Sequence[Term]) -> list[Term]:
    """The terms that hold every word of a query: first those of that name, then those whose names begin so, then all others."""
    words = query.casefold().split()

    def rank(term: Term) -> int:
        names, text = " ".join(term.names), f" {term.text.casefold()}"
        if " ".join(words) in term.names:
            return 0
        if all(re.search(rf"\b{re.escape(word)}", names) for word in words):
            return 1
        return 2 if all(re.search(rf"\b{re.escape(word)}", names + text) for word in words) else 3

    return sorted((term for term in terms if rank(term) < 3), key=rank)
