"""The options of commands that generate text: how tokens are drawn, and where they end."""

from functools import partial
from typing import Any

import click

from lab.cli.command_registry import Within
from lab.core.limits import MIN_P, REPETITION_PENALTY, SAMPLING_SEED, TEMPERATURE, TOP_K, TOP_P, Limit

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
