"""The part of Inspect that answers why: what a number is made of, which parts speak for a token, what the training text says."""

from dataclasses import replace

from textual.binding import Binding
from textual.reactive import var

from lab.views.blocks import LensPath, View
from lab.views.number_refs import next_token
from screens.base_screen import LabScreen
from screens.blocks.block_view import BlockView
from screens.blocks.view_layout import CellCursor
from screens.inspect.selection import Selection

NO_FORMULA = "This one has no formula of its own; move to another number."
NO_DEEPER = "Nothing lies deeper here: backspace climbs back, escape leaves."


class WhyScreen(LabScreen):
    """Keeps, beside the aim, where the cursor stood on each number on the way down, so that climbing back finds it again."""

    BINDINGS = [
        Binding("enter", "enter_view", "Numbers", id="inspect.enter", tooltip="Put a cursor on the numbers of the view"),
        Binding("enter", "explain", "Explain", id="inspect.explain", tooltip="What the number under the cursor is made of"),
        Binding("backspace", "climb", "Back up", id="inspect.climb", tooltip="Back to the number that this one is a part of"),
        Binding(
            "a",
            "aside('attribution')",
            "Attribute",
            id="inspect.attribution",
            tooltip="Which parts of the model speak for the predicted token, and how much (or for the one under the cursor)",
        ),
        Binding(
            "w",
            "aside('evidence')",
            "Where from",
            id="inspect.evidence",
            tooltip="What the training text itself says about the predicted token (or the one under the cursor)",
        ),
        Binding(
            "v",
            "against",
            "Versus",
            id="inspect.against",
            tooltip="Compare with another token: the one under the cursor, else the next most probable; once more: with none",
        ),
        Binding("o", "order", "Order", id="inspect.order", tooltip="The parts by size, or in the order of the computation"),
    ]

    aim: var[Selection | None] = var(None)
    _way: LensPath | None = None

    def __init__(self) -> None:
        super().__init__()
        self._cursors: list[CellCursor] = []
        self._return_to: CellCursor | None = None

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        aim = self.aim
        if action in ("explain", "enter_view"):
            # A second prompt's view stands beside the first, whose numbers alone are explained.
            on_numbers = isinstance(self.focused, BlockView) and self.focused is self.query_one(BlockView)
            return (action == "explain") == (aim is not None and on_numbers)
        if action == "climb":
            return aim is not None and bool(aim.trail)
        if action in ("against", "order"):
            return aim is not None and aim.aside == "attribution" and not aim.trail
        return True

    def action_explain(self) -> None:
        view = self.query_one(BlockView)
        if self.aim is None or view.spot is None or view.cursor is None:
            return
        if not view.spot.ref:
            self.tell(view.spot.note or (NO_DEEPER if self.aim.trail else NO_FORMULA))
            return
        self._cursors = [*self._cursors[: len(self.aim.trail)], view.cursor]
        self.aim = replace(self.aim, trail=(*self.aim.trail, view.spot.ref))

    def action_climb(self) -> None:
        if self.aim is not None and self.aim.trail:
            self._climb_to(len(self.aim.trail) - 1)

    def _climb_to(self, depth: int) -> None:
        assert self.aim is not None
        self._return_to = self._cursors[depth] if depth < len(self._cursors) else None
        self.aim = replace(self.aim, trail=self.aim.trail[:depth])

    def leave_one_level(self) -> bool:
        """Out of the explanations, or back from what was asked to the step. False where there is nothing to leave."""
        if self.aim is None or not (self.aim.trail or self.aim.aside):
            return False
        if self.aim.trail:
            self._climb_to(0)
        else:
            self.aim = self.aim.on_stage()
        return True

    def action_aside(self, aside: str) -> None:
        if self.aim is None:
            return
        spot = self.query_one(BlockView).spot
        token = next_token(spot.ref) if spot is not None else None
        if self.aim.aside == aside and not self.aim.trail and token in (None, self.aim.candidate):
            self.aim = self.aim.on_stage()
            return
        candidate = self.aim.candidate if token is None else token
        self.aim = replace(self.aim, aside=aside, trail=(), candidate=candidate, against=None)

    def action_against(self) -> None:
        aim, spot = self.aim, self.query_one(BlockView).spot
        if aim is None or self._way is None:
            return
        token = next_token(spot.ref) if spot is not None else None
        asked = aim.candidate if aim.candidate is not None else self._way.top[0].id
        others = [guess.id for guess in self._way.top if guess.id != asked]
        if aim.against is None and token in (None, asked):
            token = others[0] if others else None
        self.aim = replace(aim, against=None if aim.against == token or token == asked else token)

    def action_order(self) -> None:
        if self.aim is not None:
            self.aim = replace(self.aim, by_size=not self.aim.by_size)

    def why_changed(self, old: Selection | None, new: Selection) -> None:
        """To be called when the aim has changed: which keys there are depends on it."""
        if old is None or (old.trail, old.aside) != (new.trail, new.aside):
            self.refresh_bindings()

    def return_cursor(self, view: View) -> None:
        """To be called when a view is shown: the cursor goes back to the number that was entered here before."""
        if self._return_to is not None and self.aim is not None and view.stage == self.aim.shows:
            cursor, self._return_to = self._return_to, None
            self.query_one(BlockView).place(cursor)

    def take_back(self) -> None:
        """To be called when the engine has refused: aim again at what is still in view, as far as that was asked from here."""
        if self.aim is not None and self.aim.trail:
            self.set_reactive(WhyScreen.aim, replace(self.aim, trail=self.aim.trail[:-1]))
        elif self.aim is not None and self.aim.aside:
            self.set_reactive(WhyScreen.aim, self.aim.on_stage())

    def tell(self, words: str) -> None:
        """Say a sentence in the line below."""
        raise NotImplementedError
