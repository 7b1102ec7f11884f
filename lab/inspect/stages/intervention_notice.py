"""What a view says where an intervention changes the very thing that it shows: which one, and what goes on in its place."""

from lab.inspect.interventions import Interventions, all_in_words
from lab.inspect.stages.cells import strip
from lab.inspect.stages.stage_context import StageContext
from lab.views.blocks import Note, Strip, View
from lab.views.number_refs import ref

SUBJECTS = {
    "embed": "resid_pre",
    "scores": "attn.pattern",
    "matrix": "attn.pattern",
    "heads": "attn.z",
    "values": "attn.z",
    "attn_out": "attn_out",
    "resid_mid": "resid_mid",
    "mlp": "mlp_out",
    "neurons": "mlp_out",
    "resid_post": "resid_post",
}
"""The value that a stage works out, which an intervention may then put another in the place of."""
ENTERING = {"ln1": "resid_pre", "scores": "attn.attn_scores", "matrix": "attn.attn_scores"}
"""The value that a stage starts from, as an intervention has left it."""


def marked(view: View, look: StageContext, made: Interventions) -> View:
    """The view with notes on the interventions made right where it begins and ends, if there are any.

    The stage works out what the model computes; what goes on in its place is added at the end.
    """
    notes = []
    had = _changing(made, look, view.stage, ENTERING) if (view.stage, look.layer) != ("ln1", 0) else ()
    if had:
        notes.append(Note(f"Changed on the way in: {all_in_words(had)}. The numbers of this step have it."))
    here = _changing(made, look, view.stage, SUBJECTS)
    if here:
        words = f"Changed here: {all_in_words(here)}. The numbers of this step are those before it; "
        after = view.stage not in ("heads", "matrix")
        notes.append(Note(words + ("what goes on instead is at the end." if after else "all that follows has it.")))
        if after:
            view.blocks.append(_after(look, view.stage))
    view.blocks[:0] = notes
    return view


def _changing(made: Interventions, look: StageContext, stage: str, values: dict[str, str]) -> Interventions:
    """The interventions on the value that the stage shows, at the place that it shows of it."""
    if stage not in values:
        return ()
    name = f"blocks.{0 if stage == 'embed' else look.layer}.{values[stage]}"
    at = (look.head, look.position) if stage == "scores" else (look.head,) if stage == "matrix" else (look.position,)
    if stage == "values":
        at = (look.position, look.head)
    return tuple(each for each in made if any(edit.name == name and edit.changes(at) for edit in each.edits(look.config.layers)))


def _after(look: StageContext, stage: str) -> Strip:
    """The vector that goes on."""
    at, name = look.position, f"blocks.{0 if stage == 'embed' else look.layer}.{SUBJECTS[stage]}"
    if stage == "scores":
        row = look.array(name)[look.head, at, : at + 1]
        return strip("after the change: the pattern that goes on, key by key", row, ref(name, look.head, at))
    if stage == "values":
        return strip("after the change: the z that goes on", look.row(name)[look.head], ref(name, at, look.head))
    return strip("after the change: what goes on", look.row(name), ref(name, at))
