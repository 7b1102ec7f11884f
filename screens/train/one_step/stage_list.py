"""Stage list: the stages of one training step, as the left column of its screen."""

from lab.one_step.step_stages import STAGES
from lab.views.blocks import StageEntry
from screens.widgets.forward_pass_list import ForwardPassList


class StageList(ForwardPassList):
    """Drawn and moved through as the forward pass of Inspect."""

    TITLE = "one step"
    HELP = (
        "**Stages.** `j` forward and `k` back: the backward pass, the batch, the loss of each token, the gradient of the logits, "
        "the gradient of each part, the largest weight updates, one weight in full, and the loss after the step."
    )

    def on_mount(self) -> None:
        self.steps = tuple(StageEntry(stage, title, title) for stage, title in STAGES.items())
