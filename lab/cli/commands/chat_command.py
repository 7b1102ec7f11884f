"""`llmlab chat`: converse with a run's model."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import replace
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import click

from lab.cli.command_registry import Within
from lab.cli.completion import RUN
from lab.cli.model_options import checkpoint_option, load_prompt, option, sampling_options
from lab.cli.output import write_raw
from lab.core.limits import WRITTEN_TOKENS
from lab.core.number_format import counted
from lab.core.visible_text import visible
from models.chat import Chat, Turn, template_of, template_sentence
from models.config import SamplingSettings

if TYPE_CHECKING:
    from lab.inspect.model_cache import OpenModel

ASK = "> "
WHYS = {"limit": "It has not ended its turn: it was stopped after {} (--tokens).", "interrupt": "You stopped it."}


class ChatSession:
    """Reads messages from stdin and writes answers to stdout; what the lab says about them goes to stderr."""

    def __init__(
        self,
        opened: "OpenModel",
        prompt: str,
        system: str | None,
        stops: Sequence[str],
        sampling: SamplingSettings,
        tokens: int,
        *,
        shows_tokens: bool,
    ) -> None:
        """Without a `system` prompt, that of the `prompt` is taken."""
        self._opened, self._sampling, self._most, self._shows_tokens = opened, sampling, tokens, shows_tokens
        from models.decoding import half_matrices

        is_tuned = opened.run.config.tuning is not None
        template = template_of(opened.tokenizer, is_tuned=is_tuned)
        if system is None:
            system = template.system_of(prompt)
        self._chat = Chat(opened.tokenizer, template, system, stops=(template.stop, *stops))
        self._about = template_sentence(template, self._chat.stops, is_tuned=is_tuned)
        self._halves = half_matrices(opened.model)
        self._told = 0
        """Number of turns of which it has been said that they are left out."""

    def converse(self) -> None:
        """Answer each message until the input ends."""
        self._say(self._about)
        if self._chat.system:
            self._say(f"System prompt: {self._chat.system}")
        if sys.stdin.isatty():
            self._say("ctrl+c stops an answer, ctrl+d ends.")
        for message in _messages():
            self._answer(message)

    def _answer(self, message: str) -> None:
        model, halves, shown = self._opened.model, self._halves, ""
        self._chat = replace(self._chat, turns=(*self._chat.turns, Turn(message)))
        self._tell_window()
        with suppress(KeyboardInterrupt), closing(self._chat.answers(model, self._sampling, self._most, halves)) as answers:
            for self._chat in answers:
                new = self._chat.settled_text()
                write_raw(visible(new[len(shown) :], keep="\n\t"))
                shown = new
        turn = self._chat.turns[-1]
        write_raw("\n")
        if not turn.end:
            turn = replace(turn, end="interrupt")
            self._chat = replace(self._chat, turns=(*self._chat.turns[:-1], turn))
        if turn.end in WHYS:
            self._say(WHYS[turn.end].format(counted(len(turn.answer), "token")))
        if self._shows_tokens:
            self._show_tokens()

    def _tell_window(self) -> None:
        """Say what has no room in the context any more."""
        context = self._opened.model.config.context
        document = self._chat.document(context, self._most)
        if document.left_out > self._told:
            self._told = document.left_out
            turns = "first turn" if self._told == 1 else f"first {self._told} turns"
            self._say(f"The context of {context} tokens has no room any more for the {turns}.")
        if (beyond := len(document.ids) - context) > 0:
            self._say(
                f"The document is longer than the context of {context} tokens: its first {counted(beyond, 'token')} are left out."
            )

    def _show_tokens(self) -> None:
        """Print the document, one line for the tokens of each author that stand together."""
        document, label = self._chat.document(self._opened.model.config.context, self._most), self._opened.tokenizer.label
        for author, tokens in groupby(zip(document.authors, document.ids, strict=True), key=itemgetter(0)):
            write_raw(f"  {author:<6}  {visible('│'.join(label(id) for _, id in tokens))}\n")

    @staticmethod
    def _say(words: str) -> None:
        click.echo(f"llmlab: {visible(words, keep=chr(10))}", err=True)


def _messages() -> Iterator[str]:
    """The lines of stdin that are not empty; on a terminal they are asked for, and can be edited."""
    if not sys.stdin.isatty():
        yield from filter(None, (line.rstrip("\r\n") for line in sys.stdin))
        return
    with suppress(ImportError):  # not on Windows
        import readline  # noqa: F401 - `input` edits lines with it
    while True:
        try:
            line = input(ASK)
        except EOFError:
            write_raw("\n")
            return
        except KeyboardInterrupt:
            write_raw("\n")
            click.echo("llmlab: ctrl+d ends.", err=True)
            continue
        if line.strip():
            yield line


SHORT_ANSWER = 200
"""Most tokens of an answer, unless told otherwise."""


@click.command(short_help="Converse with a run's model.")
@click.argument("run", type=RUN)
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
    sampling = SamplingSettings(**settings)
    opened, prompt, _ = load_prompt(run, None, checkpoint)
    ChatSession(opened, prompt, system, stops, sampling, tokens, shows_tokens=show_tokens).converse()
