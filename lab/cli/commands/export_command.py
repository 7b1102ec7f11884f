"""`llmlab export`: a run as a folder that Hugging Face's transformers opens."""

from pathlib import Path

import click

from lab.cli.completion import RUN
from lab.cli.model_options import checkpoint_option, told_weights
from lab.core.number_format import bytes_, whole


@click.command(short_help="Write a run as a folder for transformers.")
@click.argument("run", type=RUN)
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
        from lab.exchange.hugging_face.model_folder import check_push, push_model

        check_push(push)
    kind = next(each for each in DTYPES if each == dtype)
    found = open_run(run)
    step = export_model(found, folder, kind, told_weights(found, checkpoint))
    size = sum(path.stat().st_size for path in folder.expanduser().iterdir())
    click.echo(f"Wrote {folder} ({bytes_(size)}): the weights of step {whole(step)} in {dtype}, and the tokenizer.")
    if push is not None:
        click.echo(f"Uploaded to {push_model(folder.expanduser(), push)}.")
