"""Places of a guess in Inspect: what is asked there, which answers have been on screen, and the place to ask about next."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

from lab.views.blocks import HeadAttention, LensPath, ModelFacts, View
from screens.inspect.selection import Selection, at_position, position_in

About = Literal["next token", "attention"]

OF_ATTENTION = ("qkv", "matrix", "scores", "heads", "thumbnails", "values", "attn_out")
"""Stages where a head's attention is guessed; at all others it is the next token."""


def about(selection: Selection) -> About:
    return "attention" if selection.stage in OF_ATTENTION else "next token"


@dataclass(frozen=True)
class Answer:
    """The name of an answer, which depends on no later token. Layer and head: None where all of them are meant."""

    weights: tuple[str, int]
    changes: int
    tokens: int
    about: About
    layer: int | None = None
    head: int | None = None


class AnswersInSight:
    """The answers that have been on screen since the mode was opened."""

    def __init__(self) -> None:
        self._seen: set[Answer] = set()

    def see_prediction(self, selection: Selection, path: LensPath, facts: ModelFacts) -> None:
        """The prediction at the position is on screen."""
        self._seen.add(_Names(selection, path, facts).answer(path.position, "next token"))

    def see_shading(self, selection: Selection, path: LensPath, facts: ModelFacts, found: HeadAttention) -> None:
        """The tokens are shaded by this attention."""
        if found.position < len(path.tokens):
            named = _Names(selection, path, facts)
            self._seen.add(named.answer(found.position, "attention", found.layer, found.head))

    def see_view(self, selection: Selection, path: LensPath, facts: ModelFacts, view: View) -> None:
        """A view is on screen."""
        named = _Names(selection, path, facts)
        if view.stage == "thumbnails":
            self._seen.update(named.answer(at, "attention") for at in range(len(path.tokens)))
        elif view.stage == "matrix":
            every = range(len(path.tokens))
            self._seen.update(named.answer(at, "attention", selection.layer, selection.head) for at in every)
        elif view.stage == "heads":
            self._seen.add(named.answer(position_in(selection, path), "attention", selection.layer))
        elif view.stage in OF_ATTENTION:
            self._seen.add(named.answer(position_in(selection, path), "attention", selection.layer, selection.head))
        elif view.stage == "lens":
            self._seen.update(named.answer(at, "next token") for at in range(len(path.tokens)))

    def has(self, selection: Selection, path: LensPath, facts: ModelFacts) -> bool:
        """True if the answer at this place has been on screen."""
        answer = _Names(selection, path, facts).of(selection, path)
        wider = (answer, replace(answer, head=None), replace(answer, layer=None, head=None))
        return any(each in self._seen for each in wider)


class _Names:
    """Names of the answers of one model on one prompt, by position."""

    def __init__(self, selection: Selection, path: LensPath, facts: ModelFacts) -> None:
        self._weights, self._changes = (facts.run, facts.step), hash(selection.interventions)
        self._prefixes: list[int] = []
        for token in path.tokens:
            self._prefixes.append(hash((self._prefixes[-1] if self._prefixes else 0, token.id)))

    def answer(self, position: int, about: About, layer: int | None = None, head: int | None = None) -> Answer:
        return Answer(self._weights, self._changes, self._prefixes[position], about, layer, head)

    def of(self, selection: Selection, path: LensPath) -> Answer:
        position = position_in(selection, path)
        if about(selection) == "attention":
            return self.answer(position, "attention", selection.layer, selection.head)
        return self.answer(position, "next token")


def next_place(selection: Selection, path: LensPath, facts: ModelFacts, seen: AnswersInSight) -> Selection:
    """The next place whose answer has not been on screen; where there is none, the next one."""
    places = list(_other_places(selection, path, facts))
    unseen = (place for place in places if not seen.has(place, path, facts))
    return next(unseen, places[0] if places else selection)


def _other_places(selection: Selection, path: LensPath, facts: ModelFacts) -> Iterator[Selection]:
    """All other places of the same question, the nearest first. From the first token nobody can guess a head's attention."""
    here, count = position_in(selection, path), len(path.tokens)
    if about(selection) == "next token":
        for step in range(1, count):
            yield at_position(selection, path, (here + step) % count)
        return
    all_heads = facts.layers * facts.heads
    first = selection.layer * facts.heads + selection.head
    positions = [at % count for at in range(here, here + count) if at % count]
    for position in positions:
        for step in range(all_heads):
            layer, head = divmod((first + step) % all_heads, facts.heads)
            if step or position != here:
                yield replace(at_position(selection, path, position), layer=layer, head=head)
