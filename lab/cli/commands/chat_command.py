"""`llmlab chat`: converse with a run's model."""

from typing import Any

import click

from lab.cli.chat_session import ChatSession
from lab.cli.command_registry import Within
from lab.cli.load_prompt import checkpoint_option, load_prompt
from lab.cli.sampling_options import option, sampling_options
from lab.core.limits import WRITTEN_TOKENS

SHORT_ANSWER = 200
"""Most tokens of an answer, unless told otherwise."""


@click.command(short_help="Converse with a run's model.")
@click.argument("run")
@click.option("--system", metavar="TEXT", help="System prompt. [default: that of the run's first prompt, if it has one]")
@option("-n", "--tokens", default=SHORT_ANSWER, type=Within(WRITTEN_TOKENS), metavar="N", help="Most tokens of an answer.")
@sampling_options
@click.option("--show-tokens", is_flag=True, help="After each answer print the raw document: its tokens, and who wrote them.")
@checkpoint_option
def chat(
    run: str,
    system: str | None,
    tokens: int,
    stops: tuple[str, ...],
    show_tokens: bool,
    checkpoint: str | None,
    **settings: Any,
) -> None:
    """Converse with the model of RUN: each line that you type, or pipe in, is a message.

    The conversation is one document, which the model continues. A base model was not taught to answer: it is stopped where it
    writes the user's turn. ctrl+c stops an answer, ctrl+d ends the conversation.
    """
    from models.config import SamplingSettings

    sampling = SamplingSettings(**settings)
    ChatSession(load_prompt(run, None, checkpoint), system, stops, sampling, tokens, shows_tokens=show_tokens).converse()
