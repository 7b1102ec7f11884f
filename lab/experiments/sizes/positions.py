"""The longest sequence: the rows of the position table, and the first length that the model refuses."""

from dataclasses import replace

from lab.core.number_format import whole
from lab.experiments.experiment_context import ExperimentContext
from lab.experiments.experiment_result import ExperimentResult
from lab.views.blocks import Cell, Column, Table, View
from models.config import ModelConfig


def positions(context: ExperimentContext) -> ExperimentResult:
    """Measures `positions` and `longest`, the longest sequence taken, of GPT-2, and `own_…` of the run."""
    from lab.experiments.sizes import gpt2_sizes

    models = {"GPT-2": gpt2_sizes.on_meta("GPT-2"), context.run_name: context.model}
    rows = {name: model.wpe.weight.shape[0] for name, model in models.items()}
    longest = {name: longest_taken(model.config, rows[name]) for name, model in models.items()}
    table = Table(
        [Column("", "left"), Column("position table"), Column("positions"), Column("tokens taken"), Column("one more", "left")],
        [
            [
                Cell(name),
                Cell(f"{whole(rows[name])} × {whole(model.config.width)}"),
                Cell(whole(rows[name]), value=float(rows[name]), bar=rows[name] / max(rows.values())),
                Cell(whole(longest[name]), value=float(longest[name])),
                Cell("refused" if longest[name] <= rows[name] else "taken"),
            ]
            for name, model in models.items()
        ],
        title="a row of the table for each position",
    )
    sentence = (
        f"GPT-2 has a vector for {whole(rows['GPT-2'])} positions and {context.run_name} for {whole(rows[context.run_name])}: "
        "a token further back has none."
    )
    own = context.run_name
    return ExperimentResult(
        View("positions", "context length", sentence, [table]),
        {"positions": rows["GPT-2"], "longest": longest["GPT-2"], "own_positions": rows[own], "own_longest": longest[own]},
    )


def longest_taken(config: ModelConfig, positions: int) -> int:
    """The longer of `positions` tokens and one more that a forward pass takes.

    The pass is that of a thin model of one layer: others take as many, and on torch's meta device a pass would load torch's
    compiler, which takes seconds.
    """
    import torch

    from models.gpt import GPT

    model = GPT(replace(config, layers=1, heads=1, width=1)).eval()
    taken = 0
    for tokens in (positions, positions + 1):
        try:
            with torch.no_grad():
                model.hidden(torch.zeros((1, tokens), dtype=torch.long))
        except ValueError:
            break
        taken = tokens
    return taken
