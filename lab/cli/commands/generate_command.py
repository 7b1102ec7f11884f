"""`llmlab generate` and `llmlab chat`: generate text from a prompt with a run's model, or converse with it."""

import codecs
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import click

from lab.cli.chat_session import ChatSession
from lab.cli.command_registry import Within
from lab.cli.load_prompt import checkpoint_option, load_prompt
from lab.cli.output import write_raw
from lab.core.errors import UserError
from lab.core.limits import MIN_P, REPETITION_PENALTY, SAMPLES, SAMPLING_SEED, TEMPERATURE, TOP_K, TOP_P, WRITTEN_TOKENS, Limit
from lab.core.machine import memory
from lab.core.number_format import bytes_
from lab.planning.device import generation_device
from models.chat import begun_stop
from models.parameter_count import BYTES

ACTIVATIONS = 16
"""Vectors of the width that a block needs for one token, besides its keys and values."""
BYTES_OF_TOKEN = 40
"""Bytes kept for each generated token."""

SHORT_ANSWER = 200
"""Most tokens of an answer, unless told otherwise."""

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


@click.command(short_help="Generate text from a prompt.")
@click.argument("run")
@click.option("-p", "--prompt", metavar="TEXT", help="Prompt. [default: the run's first prompt]")
@option("-n", "--tokens", default=200, type=Within(WRITTEN_TOKENS), metavar="N", help="Tokens to generate.")
@sampling_options
@option("--samples", default=1, type=Within(SAMPLES), metavar="K", help="Texts to generate at once, with K seeds.")
@option(
    "--precision",
    type=click.Choice(["auto", "fp32", "bf16"]),
    default="auto",
    help="Precision of the weights. auto: fp16 behind the prompt for one text, without a penalty, of a model of more than 4M "
    "weights on a CPU that is quick at it, else fp32. Lower precision may choose another token where two are nearly equal.",
)
@option(
    "--device",
    default="auto",
    metavar="auto|cpu|cuda|mps",
    help="Where to compute; auto takes an NVIDIA GPU for models larger than the processor's caches, without TF32.",
)
@checkpoint_option
def generate(
    run: str,
    prompt: str | None,
    tokens: int,
    stops: tuple[str, ...],
    samples: int,
    precision: str,
    device: str,
    checkpoint: str | None,
    **settings: Any,
) -> None:
    """Generate text with the model of RUN from a prompt, token by token.

    Beyond the context the model sees a window of the last tokens.
    """
    from models.config import SamplingSettings

    sampling = SamplingSettings(**settings)
    loaded = load_prompt(run, prompt, checkpoint)
    import torch

    from models.decoding import half_matrices
    from models.sampling import generate, generate_batch

    where = generation_device(device, loaded.model.config)
    try:
        loaded.model.to(where)
    except RuntimeError as error:
        from lab.core.errors import is_out_of_memory

        is_taken = "busy or unavailable" in str(error)  # by a training run, on a card that one process may use
        if not is_taken and not is_out_of_memory(error):
            raise
        if device != "auto":
            reason = "is in use by another process" if is_taken else "has no room for this model"
            raise UserError(f"{where} {reason}; --device cpu computes without it.") from error
        where = torch.device("cpu")  # a training run may fill the card
        loaded.model.to(where)
    if precision == "bf16":
        loaded.model.cast_matrices_to_bf16()
    if samples > 1:
        several = [replace(sampling, seed=sampling.seed + number) for number in range(samples)]
        room = int(torch.cuda.mem_get_info(where)[0]) if where.type == "cuda" else memory()
        model = loaded.model.config
        kept = model.context * model.width * (2 * model.layers + ACTIVATIONS) + model.vocab_size  # and the tokens themselves
        of_one = BYTES * kept + BYTES_OF_TOKEN * tokens
        if samples * of_one > room:
            raise UserError(
                f"{samples} texts of {tokens:,} tokens at once need about {bytes_(samples * of_one)} of memory and there are "
                f"{bytes_(room)}; write at most {max(1, room // of_one)}, or fewer --tokens."
            )
        written = [array("I") for _ in several]
        for drawn_by_all in generate_batch(loaded.model, loaded.ids, tokens, several):
            for ids, token in zip(written, drawn_by_all, strict=True):
                ids.append(token.id)
        for one, ids in zip(several, written, strict=True):
            text = "".join(until_stop([loaded.tokenizer.decode(ids)], stops))
            write_raw(f"--- seed {one.seed}\n{loaded.text}{text}\n")
        return
    write_raw(loaded.text)
    halves = half_matrices(loaded.model) if precision == "auto" else None
    drawn = (loaded.tokenizer.token_bytes(each.id) for each in generate(loaded.model, loaded.ids, tokens, sampling, halves))
    for piece in until_stop(codecs.iterdecode(drawn, "utf-8", errors="replace"), stops):
        write_raw(piece)
    write_raw("\n")


def until_stop(pieces: Iterable[str], stops: Sequence[str]) -> Iterator[str]:
    """The pieces of a text up to the first of the stop texts. What may be the beginning of one is held back."""
    held = ""
    for piece in pieces:
        held += piece
        if found := [at for stop in stops if (at := held.find(stop)) >= 0]:
            yield held[: min(found)]
            return
        sent = len(held) - begun_stop(held, stops)
        yield held[:sent]
        held = held[sent:]
    yield held


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
