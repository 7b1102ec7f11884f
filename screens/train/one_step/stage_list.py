"""Stage list: the stages of one training step, as the left column of its screen."""

from lab.one_step.step_stages import STAGES
from lab.views.blocks import StageEntry
from screens.widgets.forward_pass_list import ForwardPassList

HELP = (
    "One training step in eight stages; `j` next, `k` back: the backward pass as a picture, the batch, the loss of each "
    "token, p − one-hot (the gradient of the logits), the gradient of each part, the largest weight updates, the optimizer's "
    "formula for one weight, and the loss after the step.\n\n"
    "`space` takes the step; again: another on the same text; `u` undoes one. The run on disk is never changed.\n\n"
    "The training text is at the top, each token's loss, −ln p, below it. `←` `→` choose a token, `[` `]` a window of "
    "the batch, `{` `}` an earlier or later batch of the run; `e` types a sentence instead, `b` returns to the run's own "
    "next batch. `r` reads the checkpoint again after the run has trained on.\n\n"
    "`enter` puts a cursor into the view; `enter` on one of the largest updates shows that weight in full.\n\n"
    "The token embedding is also the output head and gets gradient from both. A part's “RMS” is the root mean square "
    "of its gradients. Weights may move along their gradient: the optimizer follows the running mean of the gradients, m, "
    "and weight decay pulls towards 0.\n\n"
    "**AdamW**: v is the running mean of the squares; dividing by 1 − β^t corrects for the start of both at 0. The ratio is "
    "near ±1 where the gradients agreed from step to step, near 0 where they did not. **Muon** takes roughly the nearest "
    "orthogonal matrix of m; o is this weight's entry, so that it depends on the whole matrix. 0.2·√n makes the step as "
    "large as AdamW's. In bf16 losses and probabilities are shown of a forward pass in fp32, without its rounding."
)


class StageList(ForwardPassList):
    """Drawn and moved through as the forward pass of Inspect."""

    TITLE = "one step"
    HELP = (
        "**Stages.** `j` forward and `k` back: the backward pass, the batch, the loss of each token, the gradient of the logits, "
        "the gradient of each part, the largest weight updates, one weight in full, and the loss after the step."
    )

    def on_mount(self) -> None:
        self.steps = tuple(StageEntry(stage, title, title) for stage, title in STAGES.items())
