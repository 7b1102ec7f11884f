"""Notes in a stage's view on the interventions that change what it shows."""

from lab.inspect.interventions import Interventions, all_in_words
from lab.inspect.stages.stage_context import StageContext
from lab.inspect.stages.stage_registry import STAGES
from lab.views.blocks import Paragraph, Strip, View
from lab.views.number_refs import ref
from lab.views.number_tables import strip


def add_intervention_notes(view: View, context: StageContext, made: Interventions) -> View:
    """The view with notes on the interventions on its input and output, and at its end the value after them."""
    notes = []
    had = _changing(made, context, view.stage, STAGES[view.stage].reads) if (view.stage, context.layer) != ("ln1", 0) else ()
    if had:
        notes.append(Paragraph(f"Intervention on the input: {all_in_words(had)}. Shown are the values with it."))
    here = _changing(made, context, view.stage, STAGES[view.stage].computes)
    if here:
        words = f"Intervention here: {all_in_words(here)}. Shown are the values before it; "
        after = view.stage not in ("heads", "matrix")
        notes.append(Paragraph(words + ("those after it are at the end." if after else "later stages have it.")))
        if after:
            view.blocks.append(_after(context, view.stage))
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


def _after(context: StageContext, stage: str) -> Strip:
    """The vector after the intervention."""
    at, name = context.position, f"blocks.{0 if stage == 'embed' else context.layer}.{STAGES[stage].computes}"
    if stage == "scores":
        row = context.array(name)[context.head, at, : at + 1]
        return strip("after the intervention: attention pattern", row, ref(name, context.head, at))
    if stage == "values":
        return strip("after the intervention: z", context.row(name)[context.head], ref(name, at, context.head))
    return strip("after the intervention", context.row(name), ref(name, at))
