"""Keys of Inspect that matter at a stage, and those that come first there."""

from collections.abc import Sequence

from lab.inspect.stages.stage_registry import STAGES
from screens.inspect.inspect_part import ModelState, Ready
from screens.inspect.intervention_keys import PARTS
from screens.inspect.selection import Selection

OF_A_PART = frozenset({"inspect.switch", "inspect.scale", "inspect.mean"})
"""Keys that change the part of a stage."""

MOVES = ("inspect.next", "inspect.right", "inspect.enter")


def first_keys(always: Sequence[str], selection: Selection) -> tuple[str, ...]:
    """Ids of the keys to show first, where the keys of the stage come before those that are shown `always`."""
    own = () if selection.aside or selection.trail else STAGES[selection.stage].keys
    return tuple(dict.fromkeys((*always[:4], *MOVES, *(f"inspect.{action}" for action in own), *always)))


def matters(id: str, selection: Selection, model: ModelState) -> bool:
    """True if the key does something at the selected stage."""
    if not isinstance(model, Ready) or not id.startswith("inspect."):
        return True
    elsewhere = bool(selection.aside or selection.trail)
    part = PARTS.get(selection.stage)
    if id == "inspect.look_at":
        return not elsewhere and part == "attn.z"
    if id in OF_A_PART:
        return part is not None and (part != "tokens" or id == "inspect.switch")
    if id == "inspect.effect":
        return bool(selection.interventions)
    if id == "inspect.layer":
        return not elsewhere and STAGES[selection.stage].layer_key
    return True
