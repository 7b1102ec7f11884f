"""What a run's model is first asked to go on with, so that Inspect never opens on nothing."""

from lab.runs.home_folder import demo
from lab.runs.run_folder import Run

DEMO = "Once there was a big dog named Rex. Rex ran"


def first_prompt(run: Run) -> str:
    """The first of the prompts that the run samples from, or for the demo a sentence of the kind that it was trained on."""
    if run.path == demo():
        return DEMO
    prompts = run.config.train.prompts
    return prompts[0] if prompts else "The"
