"""The parameters of one model, GPT-2 in one of its sizes or the run's own, counted part by part from its tensors."""

from typing import TYPE_CHECKING

from lab.core.errors import UserError
from lab.core.number_format import probability, whole
from lab.experiments.experiment_context import ExperimentContext
from lab.experiments.experiment_result import ExperimentResult, Measure
from lab.views.blocks import Cell, Column, Table, View

if TYPE_CHECKING:
    from models.gpt import GPT

OWN = "your model"
IN_LAYER = {
    "attn.c_attn": "  attention: query, key, value",
    "attn.c_proj": "  attention: output",
    "mlp.c_fc": "  MLP: up",
    "mlp.c_proj": "  MLP: down",
    "ln_": "  two LayerNorms",
}
"""Parts of a layer by the beginning of their tensors' names."""


def parameter_parts(context: ExperimentContext) -> ExperimentResult:
    """Measures `parameters`, and those of each part: `token_embedding`, `position_embedding`, `layer`, `layers`, `final_norm`,
    `head` (0 where the output projection shares the token embedding's numbers).

    The input `size` is a size of GPT-2 (GPT-2, medium, large, XL) or `your model`, its default. Raises: UserError.
    """
    from lab.experiments.sizes.gpt2_sizes import SHAPES, on_meta

    size = context.text("size", OWN)
    if size != OWN and size not in SHAPES:
        raise UserError(f"There is no size called {size}; the sizes are {', '.join(SHAPES)} and {OWN}.")
    model = context.model if size == OWN else on_meta(size)
    name = context.run_name if size == OWN else "GPT-2" if size == "GPT-2" else f"GPT-2 {size}"
    counts = {weight: tensor.numel() for weight, tensor in model.named_parameters()}
    total = sum(counts.values())
    layers = model.config.layers
    first = {weight.removeprefix("h.0."): n for weight, n in counts.items() if weight.startswith("h.0.")}
    measures: dict[str, Measure] = {
        "model": name,
        "parameters": total,
        "token_embedding": counts["wte.weight"],
        "position_embedding": counts["wpe.weight"],
        "layer": sum(first.values()),
        "layers": sum(n for weight, n in counts.items() if weight.startswith("h.")),
        "final_norm": sum(n for weight, n in counts.items() if weight.startswith("ln_f.")),
        "head": total - sum(n for weight, n in counts.items() if weight.startswith(("wte.", "wpe.", "h.", "ln_f."))),
    }
    rows = [
        _row("token embedding", model, "wte.weight", counts["wte.weight"], total),
        _row("position embedding", model, "wpe.weight", counts["wpe.weight"], total),
        _row(f"{whole(layers)} layer{'s' if layers > 1 else ''}", model, "", int(measures["layers"]), total, strong=True),
    ]
    for part, label in IN_LAYER.items():
        names = [weight for weight in counts if weight.startswith("h.") and weight.split(".", 2)[2].startswith(part)]
        shaped = f"h.0.{part}.weight" if f"{part}.weight" in first else ""
        rows.append(_row(label, model, shaped, sum(counts[weight] for weight in names), total))
    rows.append(_row("final LayerNorm", model, "", int(measures["final_norm"]), total))
    rows.append(_row("unembedding: the token embedding again", model, "", int(measures["head"]), total))
    columns = [Column("", "left"), Column("matrix", optional=1), Column("parameters"), Column("share")]
    sums = [Cell("all"), Cell(""), Cell(whole(total), value=float(total)), Cell("100%")]
    share = (counts["wte.weight"] + counts["wpe.weight"]) / total
    sentence = (
        f"{name} has {whole(total)} parameters: {probability(share)} are in its two embedding tables and "
        f"{probability(int(measures['layers']) / total)} in its {whole(layers)} layer{'s' if layers > 1 else ''}."
    )
    return ExperimentResult(
        View("parameter_parts", f"parameters of {name}", sentence, [Table(columns, rows, total=sums)]), measures
    )


def _row(label: str, model: "GPT", weight: str, count: int, total: int, *, strong: bool = False) -> list[Cell]:
    shape = " × ".join(whole(size) for size in model.get_parameter(weight).shape) if weight else ""
    return [
        Cell(label, style="strong" if strong else ""),
        Cell(shape, style="dim"),
        Cell(whole(count), value=float(count)),
        Cell(probability(count / total, digits=2), value=count / total, bar=count / total),
    ]
