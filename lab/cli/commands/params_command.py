"""`llmlab params`: the parameters of a model, tensor by tensor."""

import click

from lab.cli.command_registry import Within
from lab.cli.completion import RUN
from lab.cli.output import table, write_json
from lab.core.limits import LIMITS
from lab.core.number_format import bytes_, count, counted, whole
from lab.planning.default_hyperparameters import VOCABULARY_SIZES
from models.config import DEFAULT_PRESET, FIXED_VOCABULARY_SIZES, PRESETS


@click.command(short_help="Count the parameters of a model, tensor by tensor.")
@click.argument("run", required=False, type=RUN)
@click.option(
    "--preset", type=click.Choice(list(PRESETS)), help=f"Show a preset's shape instead of a run's. [default: {DEFAULT_PRESET}]"
)
@click.option(
    "--vocab",
    type=Within(LIMITS["vocab_size"]),
    metavar="N",
    help="Vocabulary of the preset. [default: the default of bpe; 50257 for gpt2]",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def params(run: str | None, preset: str | None, vocab: int | None, as_json: bool) -> None:
    """Count the parameters of RUN's model, or of a preset: every tensor with its shape and count.

    The output head is tied to the token embedding and counted once.
    """
    if run is not None and (preset is not None or vocab is not None):
        raise click.UsageError("Give a RUN, or a --preset with its --vocab, not both.")
    if run is not None:
        from lab.runs.find_runs import open_run

        found = open_run(run)
        name, config = found.name, found.config.model
    else:
        name = preset or DEFAULT_PRESET
        config = PRESETS[name].config(vocab or (FIXED_VOCABULARY_SIZES.get(name) or VOCABULARY_SIZES[name]))
    from models.parameter_count import by_part, flops_per_token, inventory, parameter_count

    total, parts = parameter_count(config), by_part(config)
    if as_json:
        write_json(
            {
                "name": name,
                "model": config,
                "weights": [
                    {key: getattr(weight, key) for key in ("name", "part", "shape", "count", "tied_to")}
                    for weight in inventory(config)
                ],
                "parts": parts,
                "total": total,
            }
        )
        return
    weights = [
        (
            weight.name,
            weight.part,
            " × ".join(str(size) for size in weight.shape),
            f"= {weight.tied_to}" if weight.tied_to else whole(weight.count),
        )
        for weight in inventory(config)
    ]
    shares = [(part, whole(number), f"{number / total:.1%}") for part, number in parts.items()]
    click.echo(
        f"{name}: {counted(config.layers, 'layer')}, {counted(config.heads, 'head')}, width {config.width}, "
        f"context {config.context}, vocabulary {whole(config.vocab_size)}\n\n"
        f"{table(('weight', 'part', 'shape', 'count'), weights, right=(2, 3))}\n\n"
        f"{table(('part', 'count', 'share'), [*shares, ('total', whole(total), '100.0%')], right=(1, 2))}\n\n"
        f"{count(total)} parameters, {bytes_(total * 4)} as 32-bit numbers; "
        f"{count(flops_per_token(config))} floating-point operations to train on one token."
    )
