"""The keys that mean the same in every mode: in the help and the README as a table, and a test holds bindings to them."""

from __future__ import annotations

from typing import NamedTuple

from textual.binding import Binding, BindingType

from screens.about_key import About, described
from screens.widgets.top_bars import mode_bindings


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
    SharedKey(("t",), "`t`", "over time: the same at other training steps", ("Over time",)),
    SharedKey(("g",), "`g`", "glossary: the terms on the screen first", ("Glossary",)),
    SharedKey(("question_mark",), "`?`", "help: the keys of this place, found by typing"),
    SharedKey(("ctrl+p",), "`ctrl+p`", "every action of the lab, found by words"),
)
"""The map, in the order of the README's table."""


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
