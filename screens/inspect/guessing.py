"""Guess key of Inspect: a question about the place in view, while everything that shows its answer is veiled."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import accumulate
from typing import Literal

from lab.engine.client import EngineDied, EngineError
from lab.engine.method_registry import GUESS, GuessParams
from lab.inspect.stages.stage_registry import LAYER
from lab.views.blocks import HeadAttention, LensPath, ModelFacts, TextGrid, View
from screens.about_key import About, described, keyless
from screens.inspect.inspect_part import Actions, InspectHost, InspectPart, Ready
from screens.inspect.selection import Selection, at_position, position_in
from screens.inspect.time_travel import TimeTravel
from screens.inspect.token_sampling import TokenSampling
from screens.inspect.widgets.inspect_columns import InspectColumns, SecondPromptBar
from screens.inspect.widgets.prompt_bar import PromptBar
from screens.widgets.guess_view import INSPECT

Question = Literal["next token", "attention"]

OF_ATTENTION = [stage.name for stage in LAYER["attention"] if "head" in stage.keys]
"""Stages where a head's attention is guessed; at all others it is the next token."""


def question_at(selection: Selection) -> Question:
    return "attention" if selection.stage in OF_ATTENTION else "next token"


Answer = tuple[object, ...]


def beginnings(path: LensPath) -> list[int]:
    """A number for the tokens up to each position."""
    return list(accumulate(path.tokens, lambda before, token: hash((before, token.id)), initial=0))[1:]


def answers(
    selection: Selection, path: LensPath, facts: ModelFacts, about: Question, layer: int | None = None, head: int | None = None
) -> list[Answer]:
    """The name of the answer at each position, which depends on no later token. Layer and head: None where all are meant."""
    model = facts.run, facts.step, selection.interventions
    return [(model, each, about, layer, head) for each in beginnings(path)]


class AnswersInSight:
    """The answers that have been on screen since the mode was opened."""

    def __init__(self) -> None:
        self._seen: set[Answer] = set()

    def see_prediction(self, selection: Selection, path: LensPath, facts: ModelFacts) -> None:
        """The prediction at the position is on screen."""
        self._seen.add(answers(selection, path, facts, "next token")[path.position])

    def see_shading(self, selection: Selection, path: LensPath, facts: ModelFacts, found: HeadAttention) -> None:
        """The tokens are shaded by this attention."""
        if found.position < len(path.tokens):
            self._seen.add(answers(selection, path, facts, "attention", found.layer, found.head)[found.position])

    def see_view(self, selection: Selection, path: LensPath, facts: ModelFacts, view: View) -> None:
        """A view is on screen."""
        here, layer, head = position_in(selection, path), selection.layer, selection.head
        if view.stage == "thumbnails":
            self._seen.update(answers(selection, path, facts, "attention"))
        elif view.stage == "matrix":
            self._seen.update(answers(selection, path, facts, "attention", layer, head))
        elif view.stage == "heads":
            self._seen.add(answers(selection, path, facts, "attention", layer)[here])
        elif view.stage in OF_ATTENTION:
            self._seen.add(answers(selection, path, facts, "attention", layer, head)[here])
        elif any(isinstance(block, TextGrid) for block in view.blocks):
            self._seen.update(answers(selection, path, facts, "next token"))

    def has(self, selection: Selection, path: LensPath, facts: ModelFacts) -> bool:
        """True if the answer at this place has been on screen, alone or among those of other heads."""
        return self.among(selection, path, facts)(position_in(selection, path), selection.layer, selection.head)

    def among(self, selection: Selection, path: LensPath, facts: ModelFacts) -> Callable[[int, int, int], bool]:
        """The same for any place of this question, by its position, layer and head; quick, for there are tens of thousands."""
        model, about, begins, seen = (
            (facts.run, facts.step, selection.interventions),
            question_at(selection),
            beginnings(path),
            self._seen,
        )

        def has_been_seen(position: int, layer: int, head: int) -> bool:
            here = model, begins[position], about
            if (*here, None, None) in seen:
                return True
            return about == "attention" and ((*here, layer, head) in seen or (*here, layer, None) in seen)

        return has_been_seen


def next_place(selection: Selection, path: LensPath, facts: ModelFacts, seen: AnswersInSight) -> Selection:
    """The next place whose answer has not been on screen; where there is none, the next one."""
    has_been_seen = seen.among(selection, path, facts)
    here = position_in(selection, path), selection.layer, selection.head
    first = next(_other_places(selection, path, facts), here)
    places = _other_places(selection, path, facts)
    position, layer, head = next((place for place in places if not has_been_seen(*place)), first)
    return selection if first == here else replace(at_position(selection, path, position), layer=layer, head=head)


def _other_places(selection: Selection, path: LensPath, facts: ModelFacts) -> Iterator[tuple[int, int, int]]:
    """Position, layer and head of all other places of the same question, the nearest first. From the first token nobody can guess
    a head's attention."""
    here, count = position_in(selection, path), len(path.tokens)
    if question_at(selection) == "next token":
        yield from (((here + step) % count, selection.layer, selection.head) for step in range(1, count))
        return
    all_heads = facts.layers * facts.heads
    first = selection.layer * facts.heads + selection.head
    positions = [at % count for at in range(here, here + count) if at % count]
    for position in positions:
        for step in range(all_heads):
            if step or position != here:
                yield (position, *divmod((first + step) % all_heads, facts.heads))


NO_MODEL = "A guess needs the model, which is still being loaded."
WAITING_HINT = "space another place · Esc no guess"
OPEN_HINT = "guess: ↑↓ Enter · space another place · Esc no guess"
REVEALED_HINT = "Enter back to the view · space another guess"

ENDS_GUESS = frozenset({"tour", "time", "compare", "second", "stage", "all_heads", "another_view", "aside", "export", "auto"})
"""Actions that end an open guess before they are run: it would hide what they show."""


class Guessing(InspectPart):
    """Asks, follows the selection while the guess is open, and takes the veil away when the answer is revealed."""

    BINDINGS = described(
        keyless("do('guess')", "inspect.guess", "Guess the next token, or the most attended one, before it is shown", "Guess"),
        About(synonyms="predict prediction quiz test myself score"),
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

    def actions(self) -> Actions:
        return (self.do_guess,)

    def do_guess(self) -> None:
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
        for veil in (self._bar, self._second.strip, self._columns.steps, *self._columns.predictions):
            veil.veiled = state == "open"
        self._see()

    def before_action(self, name: str) -> None:
        if self._state == "open" and name in ENDS_GUESS:
            self.close()

    def key_pressed(self, key: str) -> bool:
        if self._state == "revealed" and key == "enter":
            return self.close()
        if self._state != "none" and key == "space":
            self.do_guess()
            return True
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
            asked = selection.params(GuessParams, about=question_at(selection))
            question = await self._host.session.engine.call(GUESS, asked)
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
        self._guess.show(question, INSPECT, was_in_sight=was_in_sight)
        self._host.say_location()

    def take_path(self, selection: Selection, path: LensPath) -> None:
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
    of_head = (selection.layer, selection.head) if question_at(selection) == "attention" else ()
    return *_prompt(selection), selection.position, question_at(selection), of_head
