"""Keys of Inspect that matter at a stage, and those that come first there."""

from collections.abc import Sequence

from screens.inspect.inspect_part import ModelState, Ready
from screens.inspect.intervention_keys import PARTS
from screens.inspect.selection import Selection

OF_A_HEAD = frozenset({"inspect.look_at"})
"""Keys about one head at the stages of attention alone. The head's own keys do something at each: the tokens are shaded by it."""

OF_A_PART = frozenset({"inspect.switch", "inspect.scale", "inspect.mean"})
"""Keys that change the part of a stage."""

OF_INTERVENTIONS = frozenset({"inspect.effect"})

SAMPLING = ("inspect.sample", "inspect.settings", "inspect.auto")
HEADS = ("inspect.head", "inspect.layer", "inspect.all_heads", "inspect.switch")
FIRST: dict[str, Sequence[str]] = {
    **dict.fromkeys(("tokens", "embed"), ("inspect.tour", "inspect.all_heads", "inspect.head", "inspect.edit", "inspect.switch")),
    **dict.fromkeys(("qkv", "scores", "matrix", "heads", "thumbnails", "values", "attn_out"), HEADS),
    **dict.fromkeys(("mlp", "neurons"), ("inspect.layer", "inspect.switch")),
    **dict.fromkeys(("logits", "sample", "cache"), SAMPLING),
}
"""Stage: keys that come right after those that move."""

MOVES = ("inspect.next", "inspect.right", "inspect.enter")


def first_keys(always: Sequence[str], selection: Selection) -> tuple[str, ...]:
    """Ids of the keys to show first, where the keys of the stage come before those that are shown `always`."""
    own = () if selection.aside or selection.trail else FIRST.get(selection.stage, ())
    return tuple(dict.fromkeys((*always[:4], *MOVES, *own, *always)))


def matters(id: str, selection: Selection, model: ModelState) -> bool:
    """True if the key does something at the selected stage."""
    if not isinstance(model, Ready) or not id.startswith("inspect."):
        return True
    elsewhere = bool(selection.aside or selection.trail)
    part = PARTS.get(selection.stage)
    if id in OF_A_HEAD:
        return not elsewhere and part == "attn.z"
    if id in OF_A_PART:
        return part is not None and (part != "tokens" or id == "inspect.switch")
    if id in OF_INTERVENTIONS:
        return bool(selection.interventions)
    if id == "inspect.layer":
        return not elsewhere and (selection.stage not in ("tokens", "logits", "sample", "ln_final"))
    return True
