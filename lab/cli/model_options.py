"""What the commands that run a model share: its run loaded and a prompt tokenized, and the options of sampling."""

import os
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from lab.cli.command_registry import Within
from lab.core.limits import MIN_P, REPETITION_PENALTY, SAMPLING_SEED, TEMPERATURE, TOP_K, TOP_P, Limit
from lab.runs.run_folder import Run, stand_in_sentence

if TYPE_CHECKING:
    from lab.inspect.model_cache import OpenModel


def checkpoint_option(command: Any) -> Any:
    return click.option(
        "--checkpoint",
        metavar="best|last|STEP",
        help="Weights: of the lowest validation loss, the last saved, or a snapshot. [default: best]",
    )(command)


def told_weights(run: Run, checkpoint: str | None) -> str:
    """The checkpoint, else the best; where other weights stand in for it, that is said on stderr."""
    which = "best" if checkpoint is None else checkpoint
    if said := stand_in_sentence(run, which):
        click.echo(f"llmlab: {said}", err=True)
    return which


def open_weights(run: Run, checkpoint: str | None) -> "OpenModel":
    """The run's model and tokenizer, with as many threads as it generates with. Warns as `told_weights`.
    Raises UserError if there are no weights that can be read, or PyTorch has no room."""
    from lab.core.machine import cores, refuse_without_room_for_torch

    refuse_without_room_for_torch()
    import torch

    from lab.inspect.model_cache import load_open_model
    from lab.planning.device import generation_threads

    torch.set_num_threads(generation_threads(run.config.model, cores()))
    return load_open_model(run, told_weights(run, checkpoint))


def load_prompt(name: str, prompt: str | None, checkpoint: str | None) -> tuple["OpenModel", str, list[int]]:
    """Open the run's model, and tokenize the prompt, or the run's own first prompt if none is given: the model, the text, and its
    ids, which may be more than the context has room for.

    Warns on stderr if they are, or other weights stand in for those asked for.
    Raises UserError if there is no such run, or no weights that can be read."""
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # numpy, which reads it when it is loaded, multiplies for small models
    from lab.data.default_prompts import first_prompt
    from lab.runs.find_runs import open_run

    if prompt == "":
        raise click.UsageError("The prompt is empty: give it at least one character.")
    run = open_run(name)
    text = first_prompt(run) if prompt is None else prompt
    opened = open_weights(run, checkpoint)
    ids, context = opened.tokenizer.encode(text), opened.model.config.context
    if len(ids) > context:
        click.echo(
            f"llmlab: the prompt has {len(ids)} tokens and the context of {run.name} is {context}: "
            f"the model sees the last {context}, without the first {len(ids) - context}.",
            err=True,
        )
    return opened, text, ids


option = partial(click.option, show_default=True)


SAMPLING: tuple[tuple[str, float, Limit, str, str], ...] = (
    ("--temperature", 1.0, TEMPERATURE, "T", "Divides logits; 0 is greedy."),
    ("--top-k", 0, TOP_K, "K", "Keep the K most probable tokens; 0 keeps all."),
    ("--top-p", 1.0, TOP_P, "P", "Keep the most probable tokens that together reach probability P; 1 keeps all."),
    ("--min-p", 0.0, MIN_P, "P", "Keep the tokens with at least this share of the largest probability; 0 keeps all."),
    (
        "--repetition-penalty",
        1.0,
        REPETITION_PENALTY,
        "R",
        "Divide the logits of tokens that are in the window already, or multiply those below 0; 1 is off.",
    ),
    ("--seed", 0, SAMPLING_SEED, "N", "The same seed generates the same text."),
)


def sampling_options(command: Any) -> Any:
    """The options that say how tokens are drawn, from --temperature to --greedy, and where they end, --stop."""
    command = click.option("--greedy", is_flag=True, help="Always take the most probable token.")(command)
    for name, default, limits, metavar, words in reversed(SAMPLING):
        kind = Within(limits, whole=isinstance(default, int))
        command = option(name, default=default, type=kind, metavar=metavar, help=words)(command)
    words = "End before this text is written; may be repeated. [default: none]"
    return click.option("--stop", "stops", multiple=True, metavar="TEXT", callback=_stops, help=words)(command)


def _stops(_context: click.Context, _option: click.Parameter, stops: tuple[str, ...]) -> tuple[str, ...]:
    if "" in stops:
        raise click.UsageError("The text to stop at is empty: give it at least one character.")
    return stops
