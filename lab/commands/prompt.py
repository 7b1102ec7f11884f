"""A run's model and a prompt in its tokens, for the commands that ask a model in their own process."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from lab.run_folder import Run

if TYPE_CHECKING:
    from models.gpt import GPT
    from models.tokenizer import Tokenizer


@dataclass(frozen=True)
class Prompted:
    run: Run
    checkpoint: str
    step: int
    model: "GPT"
    tokenizer: "Tokenizer"
    ids: list[int]
    """The whole prompt, which may be longer than the context."""

    @property
    def window(self) -> list[int]:
        """What the model sees: the last tokens, as many as fit its context."""
        return self.ids[-self.model.config.context :]


def checkpoint_option(command: Any) -> Any:
    return click.option(
        "--checkpoint",
        metavar="best|last|STEP",
        help="Whose weights: of the lowest validation loss, the last saved, or a snapshot's. [default: best]",
    )(command)


def prompted(name: str, prompt: str, checkpoint: str | None) -> Prompted:
    """Opens the run, loads its weights and tokenizes the prompt; says on stderr if the prompt is longer than the context.

    Raises:
        UserError: if there is no such run, or no weights that can be read.
    """
    from lab.runs import open_run

    if not prompt:
        raise click.UsageError("The prompt is empty: give it at least one character.", click.get_current_context())
    run = open_run(name)

    import torch

    from lab.checkpoint import load_model
    from lab.machine import cores
    from models.tokenizer import Tokenizer

    torch.set_num_threads(cores())
    names = [file.name for file in run.checkpoints()]
    which = checkpoint or ("best" if "best" in names else "last")
    model, step = load_model(run, which)
    model.eval()
    tokenizer = Tokenizer.load(run.tokenizer_path)
    ids = tokenizer.encode(prompt)
    context = model.config.context
    if len(ids) > context:
        click.echo(
            f"llmlab: the prompt has {len(ids)} tokens and the context of {run.name} is {context}: "
            f"the model sees the last {context}, without the first {len(ids) - context}.",
            err=True,
        )
    return Prompted(run, which, step, model, tokenizer, ids)
