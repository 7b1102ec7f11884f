"""The stages of one training step, as the left column of its screen."""

from lab.one_step.stages import STAGES
from lab.views.blocks import StageEntry
from screens.widgets.forward_pass_list import ForwardPassList


class StageList(ForwardPassList):
    """Looks and moves as Inspect's way through does."""

    HELP = (
        "**The stages.** `j` forward and `k` back: what the step learns from, the loss of each token, where its gradient "
        "begins, how "
        "much of it each part gets, which weights move most, one of them in full, and what has come of it."
    )

    def on_mount(self) -> None:
        self.border_title = "one step"
        self.steps = tuple(StageEntry(stage, title, title) for stage, title in STAGES.items())
