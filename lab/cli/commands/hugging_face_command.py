"""`llmlab export` and `llmlab import`: a run as a folder that Hugging Face's transformers opens, and such a folder as a run."""

import shlex
from pathlib import Path

import click

from lab.cli.load_prompt import checkpoint_option, told_weights
from lab.core.number_format import bytes_, count, whole


@click.command(short_help="Write a run as a folder for transformers.")
@click.argument("run")
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option(
    "--dtype",
    type=click.Choice(["fp32", "bf16", "fp16"]),
    default="fp32",
    show_default=True,
    help="Type of the weights; fp32 is exact.",
)
@click.option("--push", metavar="OWNER/NAME", help="Upload it to the Hugging Face Hub, too; a new repository is private.")
@checkpoint_option
def export(run: str, folder: Path, dtype: str, push: str | None, checkpoint: str | None) -> None:
    """Write RUN into DIR, a new or empty folder: config.json, model.safetensors, tokenizer.json and a model card.

    AutoModelForCausalLM and AutoTokenizer of transformers open it, and give the same logits and ids; `llmlab import DIR` makes
    a run of it again.
    """
    from lab.exchange.hugging_face.export_model import DTYPES, export_model
    from lab.runs.find_runs import open_run

    if push is not None:
        from lab.exchange.hugging_face.hub_models import check_push, push_model

        check_push(push)
    kind = next(each for each in DTYPES if each == dtype)
    found = open_run(run)
    step = export_model(found, folder, kind, told_weights(found, checkpoint))
    size = sum(path.stat().st_size for path in folder.expanduser().iterdir())
    click.echo(f"Wrote {folder} ({bytes_(size)}): the weights of step {whole(step)} in {dtype}, and the tokenizer.")
    if push is not None:
        click.echo(f"Uploaded to {push_model(folder.expanduser(), push)}.")


@click.command("import", short_help="Make a run of GPT-2's weights.")
@click.argument("model")
@click.option("--name", metavar="RUN", help="Name of the run. [default: that of the model]")
@click.option(
    "--convert-pickle",
    is_flag=True,
    help="Read pytorch_model.bin where there are no safetensors, with torch's loader for weights alone.",
)
def import_(model: str, name: str | None, convert_pickle: bool) -> None:
    """Make a run of MODEL: gpt2, gpt2-medium, gpt2-large, gpt2-xl, distilgpt2, or the folder of a GPT-2 in Hugging Face's layout.

    A name is looked up in the Hugging Face cache, and downloaded into it where it is missing and huggingface_hub is installed
    (pip install 'llmlab[hub]'). The model must compute what GPT-2 does, and its tokenizer must be byte-level BPE.
    """
    from lab.exchange.hugging_face.import_run import import_run
    from lab.runs.home_folder import home

    run = import_run(model, home(), name, convert_pickle=convert_pickle, tell=lambda words: click.echo(words, err=True))
    from models.parameter_count import parameter_count

    shown = shlex.quote(run.name)
    click.echo(f"Imported {run.name}: {count(parameter_count(run.config.model))} parameters, in {run.path}.")
    click.echo(f"`llmlab generate {shown} -p TEXT` continues a text; `llmlab` opens it in Inspect.")
