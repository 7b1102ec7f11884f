"""Guess key of Inspect: a question about the place in view, while everything that shows its answer is veiled."""

from typing import Literal

from textual.binding import Binding

from lab.engine.client import EngineDied, EngineError, Superseded
from lab.views.blocks import LensPath, View
from screens.inspect.guess.guess_places import AnswersInSight, about, next_place
from screens.inspect.inspect_part import InspectHost, InspectPart, Ready
from screens.inspect.selection import Selection
from screens.inspect.time_travel import TimeTravel
from screens.inspect.token_sampling import TokenSampling
from screens.inspect.widgets.inspect_columns import InspectColumns, SecondPromptBar
from screens.inspect.widgets.prompt_bar import PromptBar

NO_MODEL = "A guess needs the model, which is still being loaded."
WAITING_HINT = "P another place · Esc no guess"
OPEN_HINT = "guess: ↑↓ Enter, or a letter · P another place · Esc no guess"
REVEALED_HINT = "Enter back to the view · P another guess"

LEAVES_FIRST = frozenset({"T", "t", "C", "E", "L", "H", "w", "o", "O", "A"})
"""Keys that show something else, which an open guess would hide: they end it first."""


class Guessing(InspectPart):
    """Asks, follows the selection while the guess is open, and takes the veil away when the answer is revealed."""

    BINDINGS = (
        Binding(
            "P",
            "guess",
            "Guess",
            id="inspect.guess",
            tooltip="Guess the next token, or at an attention step the most attended one, before it is shown; again: another",
        ),
    )

    def __init__(
        self,
        host: InspectHost,
        bar: PromptBar,
        second: SecondPromptBar,
        columns: InspectColumns,
        time: TimeTravel,
        sampling: TokenSampling,
    ) -> None:
        super().__init__(host)
        self._bar, self._second, self._columns, self._time, self._sampling = bar, second, columns, time, sampling
        self._guess = columns.guess
        self._state: Literal["none", "open", "revealed"] = "none"
        self._seen = AnswersInSight()
        self._path: tuple[Selection, LensPath] | None = None
        self._view: tuple[Selection, View] | None = None
        """The newest lens path and view, in sight unless a guess is open."""

    @property
    def hint(self) -> str:
        """The keys, for the status line; "" while nothing is guessed."""
        if self._state == "open":
            return OPEN_HINT if self._guess.is_open else WAITING_HINT
        return REVEALED_HINT if self._state == "revealed" else ""

    def action_guess(self) -> None:
        """Ask about the place in view; where a guess is open or revealed, about another one."""
        model, selection = self._host.model, self._host.selection
        if not isinstance(model, Ready):
            self._host.say(NO_MODEL)
            return
        place = selection.on_stage()
        if self._state != "none":
            place = next_place(place, model.path, model.facts, self._seen)
        self._time.close()
        self._sampling.stop_writing()
        self._set("open")
        self._guess.wait()
        self._guess.focus()
        if place != selection:
            self._host.selection = place
        else:
            self._ask()
        self._host.say_location()

    def close(self) -> bool:
        """End the guess, and show the view as usual. False if there is none."""
        if self._state == "none":
            return False
        had_focus = self._guess.has_focus
        self._set("none")
        if had_focus:
            self._host.focus_steps()
        self._host.say_location()
        return True

    def revealed(self) -> None:
        """The answer is in sight: everything else is, too, but the view, whose place it takes."""
        if self._state == "open":
            self._set("revealed")
            self._host.say_location()

    def _set(self, state: Literal["none", "open", "revealed"]) -> None:
        self._state = state
        for each in (self._host, self._columns):
            each.set_class(state != "none", "-guessing")
        is_open = state == "open"
        for veil in (self._bar, self._second.strip, self._columns.steps, *self._columns.predictions):
            veil.veiled = is_open
        self._see()

    def key_pressed(self, key: str) -> bool:
        if (self._state == "open" and key in LEAVES_FIRST) or (self._state == "revealed" and key == "enter"):
            self.close()
            return key == "enter"
        return False

    def selection_changed(self, old: Selection, new: Selection) -> None:
        if self._state == "open":
            if old.run != new.run or new.aside or new.trail:
                self.close()
            elif _place(old) != _place(new):
                self._guess.wait()
                self._ask()
        elif self._state == "revealed" and (_place(old) != _place(new) or (old.stage, old.shows) != (new.stage, new.shows)):
            self.close()

    def _ask(self) -> None:
        self._host.start(self._ask_engine(self._host.selection), "guess")

    async def _ask_engine(self, selection: Selection) -> None:
        try:
            question = await self._host.session.guess(selection, about(selection))
        except Superseded:
            return
        except EngineError as error:
            if self._state == "open":
                self.close()
            self._host.fail(str(error), isinstance(error, EngineDied))
            return
        model = self._host.model
        if self._state != "open" or _place(selection) != _place(self._host.selection) or not isinstance(model, Ready):
            return
        was_in_sight = (
            self._path is not None
            and _prompt(self._path[0]) == _prompt(selection)
            and self._seen.has(selection, self._path[1], model.facts)
        )
        self._guess.show(question, "Inspect", was_in_sight=was_in_sight)
        self._host.say_location()

    def path_came(self, selection: Selection, path: LensPath) -> None:
        self._path = selection, path
        self._see()

    def view_shown(self, selection: Selection, view: View) -> None:
        self._view = selection, view
        self._see()

    def _see(self) -> None:
        """Remember the answers that are on screen now."""
        model = self._host.model
        if self._state == "open" or self._path is None or not isinstance(model, Ready):
            return
        selection, path = self._path
        self._seen.see_prediction(selection, path, model.facts)
        if self._view is None or _prompt(self._view[0]) != _prompt(selection):
            return
        selection, view = self._view
        if view.attention is not None and self._bar.is_shaded:
            self._seen.see_shading(selection, path, model.facts, view.attention)
        if self._state == "none":
            self._seen.see_view(selection, path, model.facts, view)


def _prompt(selection: Selection) -> tuple[object, ...]:
    return selection.model, selection.prompt, selection.interventions


def _place(selection: Selection) -> tuple[object, ...]:
    """Everything that the question depends on."""
    of_head = (selection.layer, selection.head) if about(selection) == "attention" else ()
    return *_prompt(selection), selection.position, about(selection), of_head
