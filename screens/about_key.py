"""Keys: the record that the help and the palette have of each, and those that mean the same in every mode."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass, replace
from typing import Any, Literal, NamedTuple

from textual.actions import parse
from textual.binding import Binding, BindingType
from textual.dom import DOMNode

from screens.widgets.top_bars import MODES

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


def described(*rows: BindingType | About) -> list[BindingType]:
    """The bindings of a class: each has the record that stands after it, if there is one."""
    bindings: list[BindingType] = []
    for row in rows:
        if isinstance(row, About):
            binding = bindings.pop()
            assert isinstance(binding, Binding), "a record stands behind a `Binding`"
            row = replace(binding, group=row)
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


NOT_POSSIBLE = "not possible now"


def reason(binding: Binding) -> str:
    """The words for an action that is not possible now."""
    needs = about(binding).needs
    return f"needs {needs}" if needs else NOT_POSSIBLE


def why_not(node: DOMNode, binding: Binding) -> str:
    """Why a node's action is not possible now; "" where it is."""
    _, name, parameters = parse(binding.action)
    return "" if node.check_action(name, parameters) else reason(binding)


class SharedKey(NamedTuple):
    """A key, or several of one meaning, and the words that the tooltips of its actions begin with, where it is a letter."""

    keys: tuple[str, ...]
    """As Textual names them."""
    shown: str
    meaning: str
    verbs: tuple[str, ...] = ()


KEY_MAP = (
    SharedKey(("up", "down", "left", "right"), "arrows, `h j k l`", "move"),
    SharedKey(("enter",), "`enter`", "opens what is under the cursor, or does what it says"),
    SharedKey(("escape",), "`escape`", "goes back one place"),
    SharedKey(("space",), "`space`", "goes on: plays, samples, takes the next step"),
    SharedKey(("e",), "`e`", "edits", ("Edit", "Change")),
    SharedKey(("i",), "`i`", "inspects", ("Inspect",)),
    SharedKey(("n",), "`n`", "new", ("New", "A new", "Train a new")),
    SharedKey(("slash",), "`/`", "finds by typing", ("Find", "Search")),
    SharedKey(
        ("x",),
        "`x`",
        "takes away: ablates, leaves out, stops, deletes; it asks where that cannot be undone",
        ("Take", "Leave out", "Ablate", "Stop", "Save and stop", "Delete", "Unmark"),
    ),
    SharedKey(("u",), "`u`", "undoes", ("Undo",)),
    SharedKey(("o",), "`o`", "exports", ("Export", "Save")),
    SharedKey(("y",), "`y`", "copies: the number under the cursor, else all that the focused part shows", ("Copy",)),
    SharedKey(("left_square_bracket", "right_square_bracket"), "`[ ]`", "the neighbours: pages, heads, runs"),
    SharedKey(("left_curly_bracket", "right_curly_bracket"), "`{ }`", "the neighbours one level up: layers, batches"),
    SharedKey(("plus", "equals_sign", "minus"), "`+ -`", "more and less: strength, size, merges at once"),
    SharedKey(("t",), "`t`", "over time: the same at other training steps", ("Over time",)),
    SharedKey(("g",), "`g`", "glossary: the terms on the screen first", ("Glossary",)),
    SharedKey(("question_mark",), "`?`", "help: the keys of this place, found by typing"),
    SharedKey(("ctrl+p",), "`ctrl+p`", "every action of the lab, found by words"),
)
"""The map, in the order of the README's table."""


def mode_bindings() -> list[Binding]:
    """A key for each mode: its number."""
    together = About("Everywhere", place=-3, words=", ".join(MODES).title(), also=tuple(f"mode.{mode}" for mode in MODES))
    names = [(str(number), mode, mode.title()) for number, mode in enumerate(MODES, 1)]
    return [
        Binding(key, f"mode('{mode}')", name, False, tooltip=f"Show the mode {name}", id=f"mode.{mode}", group=together)
        for key, mode, name in names
    ]


EVERYWHERE: list[BindingType] = described(
    *mode_bindings(),
    Binding(
        "ctrl+p", "command_palette", "Find", id="app.find", show=False, priority=True, tooltip="Every action, found by words"
    ),
    About(
        "Everywhere",
        place=-1,
        words="every action, found by words; the glossary; a note; quit",
        also=("app.glossary", "app.note", "app.quit", "app.quit_anywhere"),
    ),
    # ctrl+g would be BEL, which pasted text may hold.
    Binding("g,ctrl+r", "glossary", "Glossary", id="app.glossary", show=False, tooltip="Glossary: what each term means"),
    About(synonyms="terms words definition dictionary meaning explain"),
    Binding("ctrl+o", "note", "Note", id="app.note", show=False, tooltip="Write a note about what is in view"),
    About(synonyms="write comment remark annotate remember bookmark markdown"),
    Binding("ctrl+t", "change_theme", "Theme", id="app.theme", show=False, tooltip="Choose the theme: the lab's colours"),
    About(synonyms="colours colors dark light brighter darker brightness contrast palette appearance", is_listed=False),
    Binding("ctrl+l", "redraw", "Redraw", id="app.redraw", show=False, tooltip="Draw the whole screen anew"),
    About(synonyms="refresh repaint clear terminal garbage", is_listed=False),
    Binding("question_mark", "help", "Help", id="app.help", show=False, tooltip="What this screen is for, and all its keys"),
    About(synonyms="keys shortcuts manual", is_listed=False),
    Binding("q", "quit", "Quit", id="app.quit", show=False, tooltip="Quit; a run that is training keeps training"),
    About(synonyms="exit leave close"),
    Binding("ctrl+q", "quit", "Quit", id="app.quit_anywhere", show=False, priority=True, tooltip="Quit, from a text field too"),
)
"""The keys that work in every mode."""


def key_table() -> str:
    """The map as a Markdown table."""
    rows = [f"| {each.shown} | {each.meaning} |" for each in KEY_MAP]
    return "\n".join(["| key | meaning |", "|---|---|", *rows])
