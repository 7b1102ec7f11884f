"""`llmlab import`: GPT-2's weights, or a folder of Hugging Face's transformers, as a run."""

import shlex

import click

from lab.cli.completion import FILE
from lab.core.number_format import count


@click.command("import", short_help="Make a run of GPT-2's weights.")
@click.argument("model", type=FILE)
@click.option("--name", metavar="RUN", help="Name of the run. [default: that of the model]")
@click.option(
    "--convert-pickle",
    is_flag=True,
    help="Read pytorch_model.bin where there are no safetensors, with torch's loader for weights alone.",
)
def import_(model: str, name: str | None, convert_pickle: bool) -> None:
    """Make a run of MODEL: gpt2, gpt2-medium, gpt2-large, gpt2-xl, distilgpt2, or the folder of a GPT-2 in Hugging Face's layout.

    A name is looked up in the Hugging Face cache, and downloaded into it where it is missing and huggingface_hub is installed,
    the extra `hub`. The model must compute what GPT-2 does, and its tokenizer must be byte-level BPE.
    """
    from lab.exchange.hugging_face.import_run import import_run
    from lab.runs.home_folder import home

    run = import_run(model, home(), name, convert_pickle=convert_pickle, tell=lambda words: click.echo(words, err=True))
    from models.parameter_count import parameter_count

    shown = shlex.quote(run.name)
    click.echo(f"Imported {run.name}: {count(parameter_count(run.config.model))} parameters, in {run.path}.")
    click.echo(f"`llmlab generate {shown} -p TEXT` continues a text; `llmlab` opens it in Inspect.")
