"""What a view says where an intervention changes the very thing that it shows."""

from lab.interventions import Interventions, all_in_words
from lab.stages.look import Look
from lab.views import Note, View
from models.edits import Edit

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


def marked(view: View, look: Look, made: Interventions) -> View:
    """The view with a note on the interventions made right where it ends, if there are any.

    What the stage works out is then not what goes on, so that there is nothing of the model's to hold it against.
    """
    here = [each for each in made if any(_is_here(edit, view.stage, look) for edit in each.edits(look.config.layers))]
    if here:
        words = f"Changed here: {all_in_words(here)}. The numbers below are those before it; all that follows has it."
        view.blocks.insert(0, Note(words))
        view.parity = None
    return view


def _is_here(edit: Edit, stage: str, look: Look) -> bool:
    layer = 0 if stage == "embed" else look.layer
    same_head = edit.head in (None, look.head) or stage == "heads"
    return edit.name == f"blocks.{layer}.{SUBJECTS.get(stage, '')}" and same_head
