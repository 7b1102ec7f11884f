"""Places of Inspect before each jump, to come back to."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from lab.views.blocks import StageEntry
from screens.inspect.inspect_part import InspectHost, InspectPart
from screens.inspect.selection import Selection, index_of

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
