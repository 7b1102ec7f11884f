"""`llmlab generate`: generate text from a prompt with a run's model."""

import codecs
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import click

from lab.cli.command_registry import Within
from lab.cli.completion import RUN
from lab.cli.model_options import checkpoint_option, load_prompt, option, sampling_options
from lab.cli.output import write_raw
from lab.core.errors import UserError
from lab.core.limits import SAMPLES, WRITTEN_TOKENS
from lab.core.machine import memory
from lab.core.number_format import bytes_
from lab.planning.device import generation_device
from models.chat import begun_stop
from models.config import SamplingSettings
from models.parameter_count import BYTES

ACTIVATIONS = 16
"""Vectors of the width that a block needs for one token, besides its keys and values."""
BYTES_OF_TOKEN = 40
"""Bytes kept for each generated token."""


@click.command(short_help="Generate text from a prompt.")
@click.argument("run", type=RUN)
@click.option("-p", "--prompt", metavar="TEXT", help="Prompt. [default: the run's first prompt]")
@option("-n", "--tokens", default=200, type=Within(WRITTEN_TOKENS), metavar="N", help="Tokens to generate.")
@sampling_options
@option("--samples", default=1, type=Within(SAMPLES), metavar="K", help="Texts to generate at once, with K seeds.")
@option(
    "--precision",
    type=click.Choice(["auto", "fp32", "bf16"]),
    default="auto",
    help="Precision of the weights as each token reads them; that of `llmlab train` is of products, and its weights stay fp32. "
    "fp32: the model's own logits. bf16: weights and logits are rounded to 8 bits, so that another token may be chosen where two "
    "are nearly equal; half the bytes for each token: quicker for a large model, several times slower for a small one on a CPU. "
    "auto: behind the prompt, for one text, of a model of more than 4M weights on a CPU, the quickest of fp32, fp16 and bf16 in "
    "a trial of a few tokens, whose distributions are within 0.005 nats (KL) of fp32's; else fp32.",
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
    sampling = SamplingSettings(**settings)
    opened, prompt, ids = load_prompt(run, prompt, checkpoint)
    import torch

    from models.decoding import half_matrices
    from models.sampling import generate, generate_batch

    where = generation_device(device, opened.model.config)
    try:
        opened.model.to(where)
    except RuntimeError as error:
        from lab.core.errors import is_out_of_memory

        is_taken = "busy or unavailable" in str(error)  # by a training run, on a card that one process may use
        if not is_taken and not is_out_of_memory(error):
            raise
        if device != "auto":
            reason = "is in use by another process" if is_taken else "has no room for this model"
            raise UserError(f"{where} {reason}; --device cpu computes without it.") from error
        where = torch.device("cpu")  # a training run may fill the card
        opened.model.to(where)
    if precision == "bf16":
        opened.model.cast_matrices_to_bf16()
    if samples > 1:
        several = [replace(sampling, seed=sampling.seed + number) for number in range(samples)]
        room = int(torch.cuda.mem_get_info(where)[0]) if where.type == "cuda" else memory()
        model = opened.model.config
        kept = model.context * model.width * (2 * model.layers + ACTIVATIONS) + model.vocab_size  # and the tokens themselves
        of_one = BYTES * kept + BYTES_OF_TOKEN * tokens
        if samples * of_one > room:
            raise UserError(
                f"{samples} texts of {tokens:,} tokens at once need about {bytes_(samples * of_one)} of memory and there are "
                f"{bytes_(room)}; write at most {max(1, room // of_one)}, or fewer --tokens."
            )
        written = [array("I") for _ in several]
        for drawn_by_all in generate_batch(opened.model, ids, tokens, several):
            for text_ids, token in zip(written, drawn_by_all, strict=True):
                text_ids.append(token.id)
        for one, text_ids in zip(several, written, strict=True):
            text = "".join(until_stop([opened.tokenizer.decode(text_ids)], stops))
            write_raw(f"--- seed {one.seed}\n{prompt}{text}\n")
        return
    write_raw(prompt)
    halves = half_matrices(opened.model) if precision == "auto" else None
    drawn = (opened.tokenizer.token_bytes(each.id) for each in generate(opened.model, ids, tokens, sampling, halves))
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
