"""Shading of the prompt's tokens by the attention of the chosen head."""

from typing import Literal

from lab.views.blocks import HeadAttention, LensPath, View
from screens.about_key import About, described, keyless
from screens.inspect.inspect_part import Actions, InspectHost, InspectPart, Ready
from screens.inspect.selection import Selection
from screens.inspect.widgets.prompt_bar import PromptBar
from screens.widgets.token_shading import Shading

Direction = Literal["from", "to", "off"]
NEXT: dict[Direction, Direction] = {"from": "to", "to": "off", "off": "from"}


def shading_of(attention: HeadAttention, label: str, direction: Direction) -> Shading | None:
    """The shading for a head's attention at the token called `label`: what it pays, what it receives, or none."""
    if direction == "off":
        return None
    name = f"head {attention.layer + 1}.{attention.head + 1}"
    numbers = attention.paid if direction == "from" else attention.received
    place = f"{direction} “{label}”"
    words = f"{name}'s attention {place}", f"shaded: {name} {place}", name
    return Shading(tuple(numbers.numpy().tolist()), attention.position, *words, inward=direction == "to")


class AttentionShading(InspectPart):
    """Shades the tokens with the attention that comes with each view; a view without it keeps the shading of the same place."""

    BINDINGS = described(
        keyless("do('shading')", "inspect.shading", "Shade tokens by attention from the chosen one, to it, or not", "Shading"),
        About(synonyms="attention strip colour"),
    )

    def __init__(self, host: InspectHost, bar: PromptBar) -> None:
        super().__init__(host)
        self._bar = bar
        self._direction: Direction = "from"
        self._attention: HeadAttention | None = None
        self._of: Selection | None = None
        """The selection that `_attention` belongs to."""
        self._shading: tuple[tuple[HeadAttention, str, Direction], Shading | None] | None = None
        """The shading made last, and of what: the tokens are not drawn again for the same."""

    def actions(self) -> Actions:
        return (self.shading,)

    def shading(self) -> None:
        self._direction = NEXT[self._direction]
        self._shade()

    def take_path(self, selection: Selection, path: LensPath) -> None:
        of = self._of
        if of is not None and (of.model, of.prompt) != (selection.model, selection.prompt):
            self._attention = self._of = None
        self._shade()

    def view_shown(self, selection: Selection, view: View) -> None:
        if view.attention is not None:
            self._attention, self._of = view.attention, selection
        elif self._of is not None and _place(self._of) != _place(selection):
            self._attention = self._of = None
        self._shade()

    def _shade(self) -> None:
        model, found = self._host.model, self._attention
        if not isinstance(model, Ready) or found is None or found.position >= len(model.path.tokens):
            self._bar.shade(None)
            return
        of = found, model.path.tokens[found.position].label, self._direction
        if self._shading is None or self._shading[0] != of:
            self._shading = of, shading_of(*of)
        self._bar.shade(self._shading[1])


def _place(selection: Selection) -> tuple[object, ...]:
    return selection.path_key, selection.layer, selection.head
