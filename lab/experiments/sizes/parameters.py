"""The parameters of GPT-2's four sizes and of this run's model, counted part by part."""

from lab.core.number_format import probability, whole
from lab.experiments.experiment_context import ExperimentContext
from lab.experiments.experiment_result import ExperimentResult, Measure
from lab.views.blocks import Cell, Column, Table, View

SHARES = {"attention": "attention", "mlp": "MLP", "embedding": "token embedding"}


def parameters(context: ExperimentContext) -> ExperimentResult:
    """Measures `SIZE_parameters`, `SIZE_layers`, and for attention, mlp and embedding `SIZE_PART` and `SIZE_PART_share`; SIZE is
    gpt2, medium, large, xl or own."""
    from lab.experiments.sizes import gpt2_sizes

    models = {name: gpt2_sizes.on_meta(name) for name in gpt2_sizes.SHAPES} | {context.run_name: context.model}
    keys = ("gpt2", "medium", "large", "xl", "own")
    totals = {name: gpt2_sizes.count_parameters(model) for name, model in models.items()}
    parts = {name: gpt2_sizes.count_parts(model) for name, model in models.items()}
    measures: dict[str, Measure] = {}
    for key, name in zip(keys, models, strict=True):
        measures |= {f"{key}_parameters": totals[name], f"{key}_layers": models[name].config.layers}
        measures |= {f"{key}_attention": parts[name]["attention"], f"{key}_mlp": parts[name]["MLP"]}
        measures[f"{key}_embedding"] = parts[name]["token embedding"]
        measures |= {f"{key}_{part}_share": parts[name][label] / totals[name] for part, label in SHARES.items()}
    largest = max(totals.values())
    sizes = Table(
        [Column("", "left"), Column("layers"), Column("heads", optional=1), Column("width"), Column("parameters")],
        [
            [
                Cell(name),
                *(Cell(whole(n)) for n in (model.config.layers, model.config.heads, model.config.width)),
                Cell(whole(totals[name]), value=float(totals[name]), bar=totals[name] / largest),
            ]
            for name, model in models.items()
        ],
        title="parameters, counted",
    )
    both = ("GPT-2", context.run_name)
    split = Table(
        [Column("", "left"), *(Column(name) for name in both for _ in range(2))],
        [[Cell(part), *(cell for name in both for cell in _share(parts[name][part], totals[name]))] for part in parts["GPT-2"]],
        title="part by part",
        total=[Cell("all"), *(cell for name in both for cell in (Cell(whole(totals[name])), Cell("100%")))],
    )
    sentence = (
        f"GPT-2 with {models['GPT-2'].config.layers} layers has {whole(totals['GPT-2'])} parameters, the largest "
        f"{whole(totals['XL'])}; {context.run_name} has {whole(totals[context.run_name])}."
    )
    return ExperimentResult(View("parameters", "parameters", sentence, [sizes, split]), measures)


def _share(count: int, total: int) -> tuple[Cell, Cell]:
    return Cell(whole(count), value=float(count)), Cell(probability(count / total), value=count / total, bar=count / total)
