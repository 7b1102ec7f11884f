"""`llmlab generate`: a run's model writes on from a prompt."""

import codecs
from dataclasses import replace

import click

from lab.commands.output import write_text
from lab.commands.prompt import checkpoint_option, prompted

LARGE = 30_000_000
"""Parameters beyond which weights do not stay in the caches from one token to the next, so that half as many bytes are twice the
speed."""


@click.command(short_help="Let a model write on from a prompt.")
@click.argument("run")
@click.option("-p", "--prompt", metavar="TEXT", help="What to go on from. [default: the run's first prompt]")
@click.option("-n", "--tokens", default=200, show_default=True, type=click.IntRange(min=1), metavar="N", help="Tokens to write.")
@click.option("--temperature", default=1.0, show_default=True, type=float, metavar="T", help="Divides the logits; 0 is greedy.")
@click.option("--top-k", default=0, show_default=True, type=int, metavar="K", help="Keep the K likeliest tokens; 0 keeps all.")
@click.option(
    "--top-p",
    default=1.0,
    show_default=True,
    type=float,
    metavar="P",
    help="Keep the likeliest tokens that together reach probability P; 1 keeps all.",
)
@click.option("--seed", default=0, show_default=True, type=int, metavar="N", help="The same seed writes the same text.")
@click.option(
    "--samples",
    default=1,
    show_default=True,
    type=click.IntRange(min=1),
    metavar="K",
    help="Texts to write, of K seeds, at once.",
)
@click.option("--greedy", is_flag=True, help="Always take the likeliest token.")
@click.option(
    "--precision",
    type=click.Choice(["auto", "fp32", "bf16"]),
    default="auto",
    show_default=True,
    help="Of the weights; auto is bf16 for models of which each token reads more than the caches hold.",
)
@checkpoint_option
def generate(
    run: str,
    prompt: str | None,
    tokens: int,
    temperature: float,
    top_k: int,
    top_p: float,
    seed: int,
    samples: int,
    greedy: bool,
    precision: str,
    checkpoint: str | None,
) -> None:
    """Let the model of RUN write on from a prompt, token by token.

    A text that outgrows the model's context goes on with a window of the last tokens.
    """
    from models.sampling_settings import Sampling

    sampling = Sampling(temperature=temperature, top_k=top_k, top_p=top_p, seed=seed, greedy=greedy)
    asked = prompted(run, prompt, checkpoint)
    import torch

    from lab.device import choose_precision
    from models.accounts import parameter_count
    from models.sampling import generate, generate_together

    large = parameter_count(asked.model.config) > LARGE and choose_precision("auto", torch.device("cpu")) == "bf16"
    if precision == "bf16" or (precision == "auto" and large):
        asked.model.hold_in_bf16()
    if samples > 1:
        several = [replace(sampling, seed=seed + number) for number in range(samples)]
        columns = zip(*generate_together(asked.model, asked.ids, tokens, several), strict=True)
        for one, drawn_by_one in zip(several, columns, strict=True):
            write_text(f"--- seed {one.seed}\n{asked.text}{asked.tokenizer.decode([token.id for token in drawn_by_one])}\n")
        return
    write_text(asked.text)
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    for drawn in generate(asked.model, asked.ids, tokens, sampling):
        write_text(decoder.decode(asked.tokenizer.token_bytes(drawn.id)))
    write_text(decoder.decode(b"", final=True) + "\n")
