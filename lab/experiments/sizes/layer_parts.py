"""The matrices of a layer, and the storage that the output projection reads."""

from typing import TYPE_CHECKING, Any

from lab.core.number_format import whole
from lab.experiments.experiment_context import ExperimentContext
from lab.experiments.experiment_result import ExperimentResult
from lab.views.blocks import Cell, Column, Table, View

if TYPE_CHECKING:
    from torch import Tensor

    from models.gpt import GPT


def layer_parts(context: ExperimentContext) -> ExperimentResult:
    """Measures `attention_matrices` (of width × width) and `mlp_matrices` of a layer, and `tied`: the output projection reads the
    storage of the token embedding."""
    model, width = context.model, context.config.width
    block = model.blocks[0]
    attention = [(name, weight) for name, weight in block.attn.named_parameters() if weight.dim() == 2]
    mlp = [(name, weight) for name, weight in block.mlp.named_parameters() if weight.dim() == 2]
    squares = sum(weight.numel() for _, weight in attention) / width**2
    projection = used_in_unembedding(model)
    tied = projection.data_ptr() == model.wte.weight.data_ptr()
    rows = [[Cell("token embedding"), *_shape(model.wte.weight), Cell("once")]]
    rows += [
        [Cell(f"attention {name.removesuffix('.weight')}"), *_shape(weight), _times(weight, width)] for name, weight in attention
    ]
    rows += [[Cell(f"MLP {name.removesuffix('.weight')}"), *_shape(weight), Cell("1 matrix")] for name, weight in mlp]
    rows.append([Cell("output projection"), *_shape(projection), Cell("the embedding's storage" if tied else "its own storage")])
    table = Table(
        [Column("", "left"), Column("shape"), Column("numbers"), Column("", "left")],
        rows,
        title=f"matrices of layer 1 of {context.config.layers}, and both ends",
    )
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
            "output_numbers": projection.numel(),
        },
    )


def used_in_unembedding(model: "GPT") -> "Tensor":
    """The matrix (V, C) that the model's own unembedding multiplies by, observed while it runs."""
    import torch
    from torch.overrides import TorchFunctionMode

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


def _name(weight: str) -> str:
    return weight.removesuffix(".weight")


def _shape(weight: "Tensor") -> tuple[Cell, Cell]:
    return Cell(" × ".join(whole(size) for size in weight.shape)), Cell(whole(weight.numel()), value=float(weight.numel()))


def _times(weight: "Tensor", width: int) -> Cell:
    count = weight.numel() / width**2
    return Cell(f"{count:g} matrices" if count != 1 else "1 matrix")
