"""Explanations of a number, level by level, and the direct logit attribution and the text evidence of a token."""

from dataclasses import replace

from textual.binding import Binding

from lab.views.blocks import View
from lab.views.number_refs import next_token
from screens.about_key import About, described, keyless
from screens.blocks.view_layout import CellCursor
from screens.inspect.inspect_part import Actions, InspectHost, InspectPart, Ready
from screens.inspect.selection import Selection, at_destination, toggled_aside

NO_FORMULA = "No formula here; move to another number."
NO_DEEPER = "No formula below this one: Backspace or Esc one level up."


class Explanations(InspectPart):
    """Remembers the cursor at each level, so that climbing back restores it."""

    BINDINGS = described(
        Binding("enter", "do('enter_view')", "Cursor", id="inspect.enter", tooltip="Put a cursor on the numbers of the view"),
        About("Ask why", words="a cursor on the numbers; then the formula of one", rank=7),
        Binding("enter", "do('explain')", "Explain", id="inspect.explain", tooltip="The formula of the number under the cursor"),
        About("Ask why", synonyms="formula calculate why", rank=1),
        Binding("backspace", "do('climb')", "Back", id="inspect.climb", show=False, tooltip="Back to the number one level up"),
        About(is_listed=False, needs="an explained number"),
        Binding(
            "a",
            "do('aside', 'attribution')",
            "Attribute",
            id="inspect.attribution",
            tooltip="Direct logit attribution of the predicted token",
        ),
        About(
            "Ask why",
            words="why this token: attribution; evidence in the training text; source code",
            also=("inspect.evidence", "inspect.code"),
            synonyms="dla contribution logits why explain",
            rank=18,
        ),
        Binding(
            "w", "do('aside', 'evidence')", "Evidence", id="inspect.evidence", tooltip="Evidence for it in the training text"
        ),
        About(synonyms="corpus counts n-gram memorized copied where learned", rank=19),
        Binding(
            "number_sign", "do('aside', 'code')", "Code", id="inspect.code", key_display="#", tooltip="Source code of this step"
        ),
        About(synonyms="python lines gpt.py shapes tensors pytorch", rank=20),
        keyless(
            "do('against')", "inspect.against", "Compare with another token: at the cursor, or the next best; or none", "Versus"
        ),
        About(synonyms="attribution", needs="the attribution of a token"),
        keyless("do('order')", "inspect.order", "The parts by size, or in the order of the computation", "Order"),
        About(synonyms="sort attribution", needs="the attribution of a token"),
    )

    def __init__(self, host: InspectHost) -> None:
        super().__init__(host)
        self._cursors: list[CellCursor] = []
        self._return_to: CellCursor | None = None

    def is_enabled(self, action: str) -> bool:
        selection = self._host.selection
        if action in ("explain", "enter_view"):
            # A second prompt's view stands beside the first, whose numbers alone are explained.
            return not self._host.has_class("-guessing") and (action == "explain") == self._host.is_on_numbers
        if action == "climb":
            return bool(selection.trail)
        return action == "aside" or (selection.aside == "attribution" and not selection.trail)

    def actions(self) -> Actions:
        return self.do_enter_view, self.do_explain, self.do_climb, self.do_aside, self.do_against, self.do_order

    def do_enter_view(self) -> None:
        self._host.focus_numbers()

    def do_explain(self) -> None:
        view, selection = self._host.view, self._host.selection
        if view.spot is None or view.cursor is None:
            return
        if view.spot.destination is not None:
            self._host.selection = at_destination(selection, view.spot.destination)
            return
        if not view.spot.ref:
            self._host.say(view.spot.note or (NO_DEEPER if selection.trail else NO_FORMULA))
            return
        self._cursors = [*self._cursors[: len(selection.trail)], view.cursor]
        self._host.selection = replace(selection, trail=(*selection.trail, view.spot.ref))

    def do_climb(self) -> None:
        depth = len(self._host.selection.trail) - 1
        self._return_to = self._cursors[depth] if depth < len(self._cursors) else None
        self._host.selection = replace(self._host.selection, trail=self._host.selection.trail[:depth])

    def leave_one_level(self) -> bool:
        """Climb one level, or leave the side view. False if there is none."""
        selection = self._host.selection
        if selection.trail:
            self.do_climb()
        elif selection.aside:
            self._host.selection = selection.on_stage()
        else:
            return False
        return True

    def do_aside(self, aside: str) -> None:
        self._host.selection = toggled_aside(self._host.selection, aside, next_token(self._ref))

    def do_against(self) -> None:
        selection, model = self._host.selection, self._host.model
        if not isinstance(model, Ready):
            return
        token = next_token(self._ref)
        asked = selection.candidate if selection.candidate is not None else model.path.top[0].id
        others = [guess.id for guess in model.path.top if guess.id != asked]
        if selection.against is None and token in (None, asked):
            token = others[0] if others else None
        self._host.selection = replace(selection, against=None if token in (selection.against, asked) else token)

    def do_order(self) -> None:
        self._host.selection = replace(self._host.selection, by_size=not self._host.selection.by_size)

    def view_shown(self, selection: Selection, view: View) -> None:
        """Restore the cursor of this level."""
        if self._return_to is not None and view.stage == self._host.selection.shows:
            cursor, self._return_to = self._return_to, None
            self._host.view.place(cursor)
