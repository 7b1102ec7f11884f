"""Experiments on the size and the parts of a model: counted from modules, not from formulas."""

from dataclasses import replace
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from lab.core.errors import UserError
from lab.core.number_format import counted, probability, whole
from lab.experiments.experiment_context import ExperimentContext
from lab.experiments.experiment_result import ExperimentResult, Measure, experiment
from lab.inspect.stages.stage_context import PromptTokens
from lab.views.blocks import Cell, Column, Paragraph, Table, View
from lab.views.number_tables import LEFT, by_columns, integer, integers, share
from models import sampling
from models.check import check
from models.config import FIXED_VOCABULARY_SIZES, ModelConfig, SamplingSettings
from models.gpt import GPT

SHAPES = {"GPT-2": (12, 12, 768), "medium": (24, 16, 1024), "large": (36, 20, 1280), "XL": (48, 25, 1600)}
"""Layers, heads and width by the size's name, the smallest first."""
CONTEXT = 1024

PARTS = {"wte": "token embedding", "wpe": "position embedding", "attn": "attention", "mlp": "MLP"}
OTHERS = "LayerNorms"


def size_name(size: str) -> str:
    """`GPT-2`, `GPT-2 medium` and so on."""
    return size if size == "GPT-2" else f"GPT-2 {size}"


def config_of(size: str) -> ModelConfig:
    layers, heads, width = SHAPES[size]
    return ModelConfig(layers=layers, heads=heads, width=width, context=CONTEXT, vocab_size=FIXED_VOCABULARY_SIZES["gpt2"])


@cache
def on_meta(size: str) -> GPT:
    """The model of a size with all its tensors' shapes and none of their values."""
    with torch.device("meta"):
        return GPT(config_of(size), seed=None)


def count_parameters(model: GPT) -> int:
    """Number of parameters; a tensor that is used in two places counts once."""
    return sum(weight.numel() for weight in model.parameters())


def count_parts(model: GPT) -> dict[str, int]:
    """Number of parameters of each part, in the order of the computation; they add up to `count_parameters`."""
    counts = dict.fromkeys([*PARTS.values(), OTHERS], 0)
    for name, weight in model.named_parameters():
        counts[part_of(name)] += weight.numel()
    return counts


def part_of(name: str) -> str:
    """The part that a tensor of the model belongs to, by its name."""
    return next((label for key, label in PARTS.items() if key in name.split(".")), OTHERS)


SHARES = {"attention": "attention", "mlp": "MLP", "embedding": "token embedding"}


@experiment
def parameters(context: ExperimentContext) -> ExperimentResult:
    """Measures `SIZE_parameters`, `SIZE_layers`, and for attention, mlp and embedding `SIZE_PART` and `SIZE_PART_share`; SIZE is
    gpt2, medium, large, xl or own."""
    models = {name: on_meta(name) for name in SHAPES} | {context.run_name: context.model}
    keys = ("gpt2", "medium", "large", "xl", "own")
    totals = {name: count_parameters(model) for name, model in models.items()}
    parts = {name: count_parts(model) for name, model in models.items()}
    measures: dict[str, Measure] = {}
    for key, name in zip(keys, models, strict=True):
        measures |= {f"{key}_parameters": totals[name], f"{key}_layers": models[name].config.layers}
        measures |= {f"{key}_attention": parts[name]["attention"], f"{key}_mlp": parts[name]["MLP"]}
        measures[f"{key}_embedding"] = parts[name]["token embedding"]
        measures |= {f"{key}_{part}_share": parts[name][label] / totals[name] for part, label in SHARES.items()}
    shapes = [model.config for model in models.values()]
    sizes = by_columns(
        "parameters, counted",
        (LEFT, models),
        ("layers", (whole(each.layers) for each in shapes)),
        (Column("heads", optional=1), (whole(each.heads) for each in shapes)),
        ("width", (whole(each.width) for each in shapes)),
        ("parameters", integers(totals.values())),
    )
    both = ("GPT-2", context.run_name)
    split = Table(
        [LEFT, *(Column(name) for name in both for _ in range(2))],
        [[Cell(part), *(cell for name in both for cell in _counted(parts[name][part], totals[name]))] for part in parts["GPT-2"]],
        title="part by part",
        total=[Cell("all"), *(cell for name in both for cell in (Cell(whole(totals[name])), Cell("100%")))],
    )
    sentence = (
        f"GPT-2 with {counted(models['GPT-2'].config.layers, 'layer')} has {whole(totals['GPT-2'])} parameters, the largest "
        f"{whole(totals['XL'])}; {context.run_name} has {whole(totals[context.run_name])}."
    )
    return ExperimentResult(View("parameters", "parameters", sentence, [sizes, split]), measures)


def _counted(count: int, total: int, digits: int = 0) -> tuple[Cell, Cell]:
    return integer(count), share(count / total, digits)


OWN = "your model"
IN_LAYER = {
    "attn.c_attn": "  attention: query, key, value",
    "attn.c_proj": "  attention: output",
    "mlp.c_fc": "  MLP: up",
    "mlp.c_proj": "  MLP: down",
    "ln_": "  two LayerNorms",
}
"""Parts of a layer by the beginning of their tensors' names."""


@experiment
def parameter_parts(context: ExperimentContext) -> ExperimentResult:
    """Measures `parameters`, and those of each part: `token_embedding`, `position_embedding`, `layer`, `layers`, `final_norm`,
    `head` (0 where the output projection shares the token embedding's numbers).

    The input `size` is a size of GPT-2 (GPT-2, medium, large, XL) or `your model`, its default. Raises: UserError.
    """

    size = context.inputs.get("size", OWN)
    if size != OWN and size not in SHAPES:
        raise UserError(f"There is no size called {size}; the sizes are {', '.join(SHAPES)} and {OWN}.")
    model = context.model if size == OWN else on_meta(size)
    name = context.run_name if size == OWN else size_name(size)
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
        _row(counted(layers, "layer"), model, "", int(measures["layers"]), total, strong=True),
    ]
    for part, label in IN_LAYER.items():
        names = [weight for weight in counts if weight.startswith("h.") and weight.split(".", 2)[2].startswith(part)]
        shaped = f"h.0.{part}.weight" if f"{part}.weight" in first else ""
        rows.append(_row(label, model, shaped, sum(counts[weight] for weight in names), total))
    rows.append(_row("final LayerNorm", model, "", int(measures["final_norm"]), total))
    rows.append(_row("unembedding: the token embedding again", model, "", int(measures["head"]), total))
    columns = [LEFT, Column("matrix", optional=1), Column("parameters"), Column("share")]
    sums = [Cell("all"), Cell(""), integer(total), Cell("100%")]
    embeddings = (counts["wte.weight"] + counts["wpe.weight"]) / total
    sentence = (
        f"{name} has {whole(total)} parameters: {probability(embeddings)} are in its two embedding tables and "
        f"{probability(int(measures['layers']) / total)} in its {counted(layers, 'layer')}."
    )
    view = View("parameter_parts", f"parameters of {name}", sentence, [Table(columns, rows, total=sums)])
    return ExperimentResult(view, measures)


def _row(label: str, model: GPT, weight: str, count: int, total: int, *, strong: bool = False) -> list[Cell]:
    shape = " × ".join(whole(size) for size in model.get_parameter(weight).shape) if weight else ""
    return [Cell(label, style="strong" if strong else ""), Cell(shape, style="dim"), *_counted(count, total, digits=2)]


@experiment
def positions(context: ExperimentContext) -> ExperimentResult:
    """Measures `positions` and `longest`, the longest sequence taken, of GPT-2, and `own_…` of the run."""
    models = {"GPT-2": on_meta("GPT-2"), context.run_name: context.model}
    rows = {name: model.wpe.weight.shape[0] for name, model in models.items()}
    longest = {name: longest_taken(model.config, rows[name]) for name, model in models.items()}
    table = by_columns(
        "a row of the table for each position",
        (LEFT, models),
        ("position table", (f"{whole(rows[name])} × {whole(model.config.width)}" for name, model in models.items())),
        ("positions", integers(rows.values())),
        ("tokens taken", map(integer, longest.values())),
        (Column("one more", "left"), ("refused" if longest[name] <= rows[name] else "taken" for name in models)),
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


@experiment
def layer_parts(context: ExperimentContext) -> ExperimentResult:
    """Measures `attention_matrices` (of width × width) and `mlp_matrices` of a layer, and `tied`: the output projection reads the
    storage of the token embedding."""
    model, width = context.model, context.config.width
    attention, mlp = (
        [(name.removesuffix(".weight"), weight) for name, weight in part.named_parameters() if weight.dim() == 2]
        for part in (model.blocks[0].attn, model.blocks[0].mlp)
    )
    squares = sum(weight.numel() for _, weight in attention) / width**2
    projection = used_in_unembedding(model)
    tied = projection.data_ptr() == model.wte.weight.data_ptr()
    rows = [[Cell("token embedding"), *_shape(model.wte.weight), Cell("once")]]
    for name, weight in attention:
        squares_in_it = weight.numel() / width**2
        matrices = "1 matrix" if squares_in_it == 1 else f"{squares_in_it:g} matrices"
        rows.append([Cell(f"attention {name}"), *_shape(weight), Cell(matrices)])
    rows += [[Cell(f"MLP {name}"), *_shape(weight), Cell("1 matrix")] for name, weight in mlp]
    rows.append([Cell("output projection"), *_shape(projection), Cell("the embedding's storage" if tied else "its own storage")])
    title = f"matrices of layer 1 of {context.config.layers}, and both ends"
    table = Table([LEFT, Column("shape"), Column("numbers"), LEFT], rows, title=title)
    sentence = (
        f"Attention holds {squares:g} matrices of {width} × {width}, stored as {len(attention)} tensors. The output projection "
        f"{'reads the very numbers of the token embedding' if tied else 'has numbers of its own'}."
    )
    return ExperimentResult(
        View("layer_parts", "the matrices of a layer", sentence, [table]),
        {
            "attention_matrices": int(squares) if squares.is_integer() else squares,
            "mlp_matrices": len(mlp),
            "tied": tied,
            "layers": context.config.layers,
        },
    )


def used_in_unembedding(model: GPT) -> Tensor:
    """The matrix (V, C) that the model's own unembedding multiplies by, observed while it runs."""
    seen: list[Tensor] = []

    class Watch(TorchFunctionMode):
        def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            for each in args:
                if isinstance(each, torch.Tensor) and each.dim() == 2 and model.config.vocab_size in each.shape:
                    seen.append(each)  # noqa: PERF401
            return function(*args, **(kwargs or {}))

    vector = torch.zeros(1, 1, model.config.width)
    with torch.no_grad(), Watch():
        model.unembed(vector)
    return seen[0]


def _shape(weight: Tensor) -> tuple[Cell, Cell]:
    return Cell(" × ".join(whole(size) for size in weight.shape)), integer(weight.numel())


TOKENS = 64
"""Tokens that are written."""


@experiment
def weights_in_use(context: ExperimentContext) -> ExperimentResult:
    """Measures `tensors`, `changed_tensors` after writing `tokens` tokens, and `probability_before`, `probability_after` of the
    most probable token after the prompt.

    Raises: UserError: if there is no prompt.
    """
    model, ids = context.model, context.ids

    def checksums() -> dict[str, int]:
        return {
            name: int(weight.detach().contiguous().view(torch.int32).sum(dtype=torch.int64))
            for name, weight in model.named_parameters()
        }

    def chance() -> float:
        with torch.no_grad():
            return float(model(torch.tensor([ids]))[0, -1].float().softmax(-1).max())

    before, chance_before = checksums(), chance()
    check()
    written = []
    for token in sampling.generate(model, ids, TOKENS, SamplingSettings()):
        written.append(token.id)
        check()
    after, chance_after = checksums(), chance()
    changed = [name for name in before if before[name] != after[name]]
    measures: dict[str, Measure] = {
        "prompt": PromptTokens(context.tokenizer, ids, len(ids) - 1).text,
        "tokens": len(written),
        "tensors": len(before),
        "changed_tensors": len(changed),
        "probability_before": chance_before,
        "probability_after": chance_after,
    }
    table = by_columns(
        f"before and after writing {whole(len(written))} tokens",
        (LEFT, ("tensors of weights", "of those changed", "most probable next token")),
        ("before", (whole(len(before)), "", probability(chance_before))),
        ("after", (whole(len(after)), whole(len(changed)), probability(chance_after))),
    )
    excerpt = Paragraph(f"It wrote: {''.join(context.tokenizer.label(id_) for id_ in written)}")
    sentence = f"Writing {whole(len(written))} tokens changed {whole(len(changed))} of {whole(len(before))} tensors of weights."
    return ExperimentResult(View("weights_in_use", "weights while writing", sentence, [table, excerpt]), measures)
