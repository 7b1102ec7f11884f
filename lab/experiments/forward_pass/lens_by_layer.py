"""The answer forming layer by layer: the logit lens at one position, with the norm of what each part adds."""

from lab.core.number_format import probability, significant, whole
from lab.experiments.experiment_context import ExperimentContext
from lab.experiments.experiment_result import ExperimentResult, Measure
from lab.inspect.stages.logit_lens import StreamLens, logit_lens, residual_streams
from lab.inspect.stages.stage_context import StageContext
from lab.views.blocks import Cell, Column, Table, View
from models.unembed import Slices

LAYERS_IN_HALVES = 4
"""Layers up to which attention and MLP have a row each; of a deeper model, each layer has one."""


def lens_by_layer(context: ExperimentContext) -> Slices[ExperimentResult]:
    """Measures `answer`, the most probable token, `layers`, and `settled`: the layer (1-based; 0: the embeddings) from which on
    it is the top token of every residual stream shown.

    Raises: UserError: if there is no prompt.
    """
    at = yield from context.stage_context()
    lenses = yield from logit_lens(at)
    halves = at.config.layers <= LAYERS_IN_HALVES
    streams = residual_streams(at.config.layers)
    shown = [name for name in streams if halves or not name.endswith("resid_mid")]
    answer = at.tokenizer.label(at.answer)
    rows = [_row(name, lenses[name], lenses[name].added if halves else lenses[name].norm) for name in shown]
    settled = next((i for i in range(len(shown)) if all(lenses[name].rank == 1 for name in shown[i:])), len(shown) - 1)
    columns = [
        Column("after", "left"),
        Column("top token", "left"),
        Column("probability"),
        Column(f"rank of “{answer}”"),
        Column("norm added" if halves else "norm", optional=1),
    ]
    table = Table(columns, rows, title=f"logit lens after {at.here}: position {at.position + 1} predicts token {at.position + 2}")
    measures: dict[str, Measure] = {
        "answer": answer,
        "layers": at.config.layers,
        "settled": _layer(shown[settled]),
        "first_rank": lenses[streams[0]].rank,
    }
    return ExperimentResult(View("lens_by_layer", "logit lens", _sentence(at, shown[settled], answer), [table]), measures)


def _row(name: str, lens: StreamLens, number: float) -> list[Cell]:
    return [
        Cell(_place(name)),
        Cell(f"“{lens.top.label}”", style="strong" if lens.rank == 1 else ""),
        Cell(probability(lens.top.probability), value=lens.top.probability, bar=lens.top.probability),
        Cell(whole(lens.rank), value=float(lens.rank)),
        Cell(significant(number), value=number),
    ]


def _layer(name: str) -> int:
    """The 1-based layer of a residual stream; 0 for the embeddings."""
    return 0 if name.endswith("resid_pre") else int(name.split(".")[1]) + 1


def _place(name: str) -> str:
    """A residual stream as the part it comes after: `2 attention`, `2 mlp`."""
    if name.endswith("resid_pre"):
        return "embeddings"
    return f"{_layer(name)} {'attention' if name.endswith('resid_mid') else 'mlp'}"


def _sentence(at: StageContext, settled: str, answer: str) -> str:
    if settled.endswith("resid_pre"):
        return f"“{answer}” is the top token from the embeddings on."
    if _layer(settled) == at.config.layers and settled.endswith("resid_post"):
        return f"“{answer}” becomes the top token for good only after the last layer."
    return f"“{answer}” is the top token from {_place(settled)} on."
