"""The logits as dot products of the last vector with rows of the token embedding, and the storage of both tables."""

import numpy as np

from lab.core.number_format import fixed, probability, significant, whole
from lab.experiments.experiment_context import ExperimentContext
from lab.experiments.experiment_result import ExperimentResult, Measure
from lab.inspect.stages.logits_stage import largest
from lab.inspect.stages.stage_context import StageContext
from lab.views.blocks import Block, Cell, Column, Table, View
from lab.views.number_refs import ref
from lab.views.number_tables import Numbers, Series, Sum, decimals_for, number
from lab.views.softmax_table import softmax
from models.unembed import Slices

LISTED = 5
TERMS = 6


def tied_table(context: ExperimentContext) -> Slices[ExperimentResult]:
    """Measures `logit` of the most probable token, its dot product `dot` in float64, and `tied`: the matrix that makes the logits
    has the storage of the token embedding.

    Raises: UserError: if there is no prompt.
    """
    from lab.experiments.sizes.layer_parts import used_in_unembedding

    at = yield from context.stage_context()
    vector = at.row("ln_final.out")  # (C,)
    table = at.weight("wte.weight")  # (V, C)
    top = largest(at.logits, LISTED)
    dots = table[top].astype(np.float64) @ vector
    tied = used_in_unembedding(context.model).data_ptr() == context.model.wte.weight.data_ptr()
    rows, width = table.shape
    label = at.tokenizer.label(top[0])
    measures: dict[str, Measure] = {
        "tied": tied,
        "top": label,
        "logit": float(at.logits[top[0]]),
        "dot": float(dots[0]),
        "vocabulary": rows,
        "width": width,
    }
    sentence = (
        f"The last vector at {at.here} has {whole(width)} numbers. Its dot product with row {whole(top[0])}, that of “{label}”, "
        f"is the logit {fixed(float(dots[0]), 3)}; {whole(rows)} rows give {whole(rows)} logits. "
        + ("The rows are those of the token embedding, stored once." if tied else "The rows are a table of their own.")
    )
    blocks: list[Block] = [_listed(at, top, dots), _written_out(at, top[0], vector, table[top[0]])]
    return ExperimentResult(View("tied_table", "the last vector × the table", sentence, blocks), measures)


def _listed(at: StageContext, top: list[int], dots: Numbers) -> Table:
    shares = softmax(at.logits)
    decimals = decimals_for(dots)
    rows = [
        [
            Cell(at.tokenizer.label(id_)),
            Cell(whole(id_)),
            number(dots[index], decimals, ref("logits", at.position, id_)),
            Cell(
                probability(float(shares[id_]), digits=2),
                value=float(shares[id_]),
                ref=ref("probability", at.position, id_),
                bar=float(shares[id_]),
            ),
        ]
        for index, id_ in enumerate(top)
    ]
    columns = [Column("token", "left"), Column("row"), Column("vector · row = logit"), Column("probability")]
    return Table(columns, rows, title=f"the {len(rows)} largest of {whole(len(shares))}" if len(shares) > len(rows) else "")


def _written_out(at: StageContext, id_: int, vector: Numbers, row: Numbers) -> Table:
    """The dot product of the most probable token, its largest terms first."""
    label = at.tokenizer.label(id_)
    total = Sum(
        label_title="dimension",
        label=lambda index: whole(index + 1),
        left=Series("last vector", vector, lambda index: ref("ln_final.out", at.position, index)),
        right=Series(f"row of “{label}”", row.astype(np.float64), lambda index: ref("wte.weight", id_, index)),
        total="logit",
        total_ref=ref("logits", at.position, id_),
        shown=TERMS,
    )
    return total.table(f"the logit of “{label}”, {significant(float(at.logits[id_]), 4)}, term by term")
