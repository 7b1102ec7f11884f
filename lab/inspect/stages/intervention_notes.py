"""Notes in a stage's view on the interventions that change what it shows."""

from lab.inspect.interventions import Interventions, describe_interventions
from lab.inspect.stages.stage_context import StageContext
from lab.inspect.stages.stage_registry import STAGES
from lab.views.blocks import Block, Paragraph, StackedStrips, View
from lab.views.number_refs import ref
from lab.views.number_tables import stacked

VALUE_NAMES = {
    "attn.pattern": "the attention pattern",
    "attn.z": "z, the head's output",
    "attn_out": "the attention output",
    "mlp_out": "the MLP output",
    "resid_pre": "the residual stream",
    "resid_mid": "the residual stream",
    "resid_post": "the residual stream",
}


def add_intervention_notes(view: View, context: StageContext, made: Interventions) -> View:
    """The view under notes on the interventions on its input and output, and its value before and after them."""
    notes: list[Block] = []
    had = _changing(made, context, view.stage, STAGES[view.stage].reads) if (view.stage, context.layer) != ("ln1", 0) else ()
    if had:
        notes.append(Paragraph(f"Intervention on the input: {describe_interventions(had)}. Shown are the values with it."))
    here = _changing(made, context, view.stage, STAGES[view.stage].computes)
    if here:
        words = f"Intervention here: {describe_interventions(here)}. "
        is_vector = view.stage not in ("heads", "matrix")
        rest = (
            "Below the comparison are the values before it."
            if is_vector
            else "Shown are the values before it; later stages have it."
        )
        notes.append(Paragraph(words + rest))
        if is_vector:
            notes.append(_before_and_after(context, view.stage))
    view.blocks[:0] = notes
    return view


def _changing(made: Interventions, context: StageContext, stage: str, value: str) -> Interventions:
    """The interventions on a value of the stage, at the indices that it shows."""
    if not value:
        return ()
    name = f"blocks.{0 if stage == 'embed' else context.layer}.{value}"
    at = (context.head, context.position) if stage == "scores" else (context.head,) if stage == "matrix" else (context.position,)
    if stage == "values":
        at = (context.position, context.head)
    return tuple(
        each for each in made if any(edit.name == name and edit.changes(at) for edit in each.edits(context.config.layers))
    )


def _before_and_after(context: StageContext, stage: str) -> StackedStrips:
    """The vector before and after the intervention, and the difference, on one scale."""
    at, name = context.position, f"blocks.{0 if stage == 'embed' else context.layer}.{STAGES[stage].computes}"
    index = {"scores": (context.head, at), "values": (at, context.head)}.get(stage, (at,))
    keys = slice(0, at + 1) if stage == "scores" else slice(None)
    unchanged = context.before(name, *index)
    before, after = (context.array(each)[index][keys].astype("float64") for each in (unchanged, name))
    vectors = [
        ("before", before, ref(unchanged, *index)),
        ("after", after, ref(name, *index)),
        ("after − before", after - before, ""),
    ]
    return stacked(f"intervention on {VALUE_NAMES[STAGES[stage].computes]}", vectors)
