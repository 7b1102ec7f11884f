"""Record of a key: what the key bar, the help and the palette say of it besides its binding."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass, replace
from functools import cache
from typing import Any, Literal

from textual.actions import parse
from textual.binding import Binding, BindingsMap
from textual.dom import DOMNode

Heading = (
    Literal["", "Move", "Ask why", "Prompt and sampling", "Switch off and change", "Model"]
    | Literal["Run", "Plot", "Below the plot", "Runs", "The step", "Text it learns from"]
    | Literal["Text", "Pages", "Lessons", "Live view", "Everywhere"]
)


@dataclass(frozen=True, repr=False)
class About(Binding.Group):
    """What the help says of a binding besides its tooltip, as its `group`: that is the field which Textual hands on."""

    description: Heading = ""
    """Heading of the help under which it stands; "" or one that is not among the screen's `HEADINGS`: one for all the rest."""
    _: KW_ONLY
    words: str = ""
    """Its line in the help, where that is not its tooltip."""
    also: tuple[str, ...] = ()
    """Ids of the keys on the same line, such as the opposite one."""
    place: int = 0
    """Lines of a lower place come first under the heading; those of the same place are in the order of the bindings."""
    synonyms: str = ""
    """Words that people type for it, besides those of its binding."""
    rank: int = 100
    """Keys of a lower rank come first in the key bar."""
    matters: Callable[[Any], bool] = lambda screen: True
    """False where it does nothing: then it is not in the key bar. It gets the screen; in Inspect, its selection."""

    is_listed: bool = True
    """False for a key that many programs have, such as ctrl+l: the help finds it by typing, and does not list it."""
    needs: str = ""
    """What it needs, in words: the reason where it is not possible, or does not matter."""


NOTHING = About()


def described(*rows: Binding | About) -> list[Binding]:
    """The bindings of a class: each has the record that stands after it, if there is one."""
    bindings: list[Binding] = []
    for row in rows:
        if isinstance(row, About):
            bindings[-1] = replace(bindings[-1], group=row)
        else:
            bindings.append(row)
    return bindings


KEYLESS = "keyless."
"""What the key of an action begins with that has none: no terminal sends it."""


def keyless(action: str, id: str, tooltip: str, description: str = "", about: About = NOTHING) -> Binding:
    """A binding without a key, for an action that is needed rarely: the palette has it, and the help finds it by typing."""
    return Binding(KEYLESS + id, action, description, id=id, show=False, tooltip=tooltip, group=about)


def about(binding: Binding) -> About:
    """The record of a binding's key."""
    return binding.group if isinstance(binding.group, About) else NOTHING


def synonyms_of(binding: Binding) -> str:
    """Words that lead to a binding, besides its tooltip."""
    return f"{about(binding).synonyms} {binding.description}"


@cache
def bindings_by_key(owner: type[DOMNode]) -> dict[str, list[Binding]]:
    """The bindings of a class, possible now or not; a key of a subclass stands in place of its base's."""
    found: dict[str, list[Binding]] = {}
    for base in reversed(owner.__mro__):
        found |= BindingsMap(vars(base).get("BINDINGS", ())).key_to_bindings
    return found


NOT_POSSIBLE = "not possible now"


def reason(binding: Binding) -> str:
    """The words for an action that is not possible now."""
    needs = about(binding).needs
    return f"needs {needs}" if needs else NOT_POSSIBLE


def why_not(node: DOMNode, binding: Binding) -> str:
    """Why a node's action is not possible now; "" where it is."""
    _, name, parameters = parse(binding.action)
    return "" if node.check_action(name, parameters) else reason(binding)
