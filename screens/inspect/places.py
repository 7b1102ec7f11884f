"""Places of Inspect: those before each jump, to come back to; and a place as plain data, and the way to it."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from lab.inspect.stages.stage_registry import STAGES
from lab.views.blocks import StageEntry
from lab.views.screen_state import ScreenState
from screens.inspect.inspect_part import InspectHost, InspectPart, ModelState, Ready, Starting
from screens.inspect.selection import Prompt, Selection, index_of

JUMPS_KEPT = 50
"""Places that escape can lead back to."""


class PlaceHistory(InspectPart):
    """Remembers the place before each jump; a step along the forward pass, or to the next layer, is none."""

    def __init__(self, host: InspectHost, steps: Callable[[], Sequence[StageEntry]]) -> None:
        super().__init__(host)
        self._steps = steps
        self._before: list[Selection] = []
        self._is_going_back = False

    def selection_changed(self, old: Selection, new: Selection) -> None:
        if old.run != new.run:
            self._before.clear()
        elif not self._is_going_back and _is_jump(old, new, self._steps()):
            self._before = [*self._before[1 - JUMPS_KEPT :], old]

    def forget(self) -> None:
        """Forget all places."""
        self._before.clear()

    def go_back(self) -> bool:
        """Go back to the place before the last jump. False if there is none."""
        if not self._before:
            return False
        place = self._before.pop()
        self._is_going_back = True
        self._host.selection = replace(self._host.selection.on_stage(), stage=place.stage, layer=place.layer, head=place.head)
        self._is_going_back = False
        return True


def _is_jump(old: Selection, new: Selection, steps: Sequence[StageEntry]) -> bool:
    """True if all heads are shown now, or the two are neither neighbours in the pass nor one stage of two layers in turn."""
    if (old.stage, old.layer) == (new.stage, new.layer):
        return False
    if new.stage == "thumbnails" != old.stage:
        return True
    if old.stage == new.stage and abs(old.layer - new.layer) == 1:
        return False
    return abs(index_of(old, steps) - index_of(new, steps)) > 1


SAME = ("run", "checkpoint", "stage", "layer", "head", "position", "aside")
"""Fields of a selection that a state has, too."""
ASIDES = ("attribution", "evidence", "effect", "compare", "patches", "built_head", "code", "features")


class RestoredPlace(InspectPart):
    """Shows a state. While its run is being read it waits, and then it comes before the run's first prompt."""

    def __init__(self, host: InspectHost, keep_for_undo: Callable[[], None]) -> None:
        super().__init__(host)
        self._keep_for_undo = keep_for_undo
        self._state: ScreenState | None = None
        """The state that was asked for last, as long as no other run has been chosen."""

    def restore(self, state: ScreenState) -> None:
        """Show the state, at once if its run is already in view."""
        self._state = state
        selection = self._host.selection
        if isinstance(self._host.model, Starting) or selection.run != state.run:
            return
        found = restored(selection, state)
        if found.prompt != selection.prompt:
            self._keep_for_undo()
        self._host.selection = found

    def prompt_of(self, run: str) -> Prompt | None:
        """The prompt of the state that waits for this run."""
        return _prompt(self._state) if self._state is not None and self._state.run == run else None

    def run_chosen(self, run: str) -> None:
        """Forget a state of another run."""
        if self._state is not None and self._state.run != run:
            self._state = None

    def first_selection(self, selection: Selection) -> Selection:
        """The selection to begin a run with: the state, or `selection` where none waits for this run."""
        return selection if self._state is None or self._state.run != selection.run else restored(selection, self._state)


def restored(selection: Selection, state: ScreenState) -> Selection:
    """`selection` at the place of the state, in the same run. A name that means nothing here leaves it as it is.

    A layer, head or position that the model does not have is bounded once the model is known.
    """
    prompt = _prompt(state)
    if prompt is not None:
        selection = replace(
            selection.on_stage(),
            prompt=prompt,
            position=state.position,
            second=None,
            interventions=(),
        )
    elif state.stage:
        selection = selection.on_stage()
    if state.aside in ASIDES:
        has_second = selection.second is not None
        has_it = {"effect": bool(selection.interventions), "compare": has_second, "patches": has_second}.get(state.aside, True)
        selection = replace(selection, aside=state.aside if has_it else "")
    return replace(
        selection,
        checkpoint=state.checkpoint if _is_checkpoint(state.checkpoint) else selection.checkpoint,
        stage=state.stage if state.stage in STAGES else selection.stage,
        layer=selection.layer if state.layer is None else state.layer,
        head=selection.head if state.head is None else state.head,
        position=selection.position if state.position is None else state.position,
        candidate=None,
        against=None,
        trail=(state.explained,) if state.explained else (),
    )


def state_of(selection: Selection, model: ModelState) -> ScreenState:
    """The place as a state."""
    return ScreenState(
        mode="inspect",
        prompt=_words(selection, model),
        interventions=len(selection.interventions),
        explained=selection.trail[-1] if selection.trail else "",
        **{name: getattr(selection, name) for name in SAME},
    )


def _words(selection: Selection, model: ModelState) -> str:
    """The prompt as text, to be read: of one held as ids their labels, where they are known."""
    prompt = selection.prompt
    if prompt.ids is None:
        return prompt.text
    if isinstance(model, Ready) and model.answered.prompt == prompt:
        return "".join(token.label for token in model.path.tokens)
    return "" if prompt.is_cut else prompt.text


def _prompt(state: ScreenState) -> Prompt | None:
    """The state's prompt; None where it has none. One held as ids counts as cut: only they say what it is."""
    if state.ids:
        return Prompt(ids=state.ids, is_cut=True)
    return Prompt(state.prompt) if state.prompt else None


def _is_checkpoint(name: str) -> bool:
    return name in ("best", "last") or (name.isascii() and name.isdecimal())
