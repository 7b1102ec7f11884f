"""Experiments on what a layer computes: its curved functions replaced by straight lines, and its weights at other positions."""

from lab.core.errors import UserError
from lab.core.number_format import fixed, probability, significant, whole
from lab.experiments.experiment_context import ExperimentContext
from lab.experiments.experiment_result import ExperimentResult, Measure, experiment
from lab.views.blocks import Cell, Column, Table, View
from lab.views.number_tables import number
from models.unembed import Slices

LINEAR_PARTS_TOKENS = 1024
REPLACED = {
    "nothing": "nothing",
    "gelu": "GELU → the straight line that fits best",
    "exp": "exp of a score → the score, from the lowest",
    "both": "both",
}


@experiment
def linear_parts(context: ExperimentContext) -> Slices[ExperimentResult]:
    """Measures `loss` on windows of the run's text, and the same with a curved function replaced in every layer: `loss_gelu`, by
    the straight line that fits its values best; `loss_exp`, a weight of attention in proportion to the score minus the lowest of
    its row; `loss_both`. `largest_change` and `least_change` are those of the loss by one of the two.

    Raises: UserError: if the run's text cannot be read.
    """
    import torch

    from lab.experiments.batch_passes import loss_of, straightened

    tokens = context.affordable(LINEAR_PARTS_TOKENS, passes=2 * len(REPLACED))
    rows, part = context.windows(max(1, tokens // context.config.context), tokens)
    ids, targets = torch.from_numpy(rows[:, :-1]), torch.from_numpy(rows[:, 1:])
    losses: dict[str, float] = {}
    for name in REPLACED:
        normed = yield from straightened(context.model, ids, {"gelu", "exp"} if name == "both" else {name})
        losses[name] = loss_of(context.model, normed, targets)
    loss = losses.pop("nothing")
    changes = [losses["gelu"] - loss, losses["exp"] - loss]
    measures: dict[str, Measure] = {
        "loss": loss,
        **{f"loss_{name}": value for name, value in losses.items()},
        "largest_change": max(changes),
        "least_change": min(changes),
        "tokens": int(targets.numel()),
        "part": part,
    }
    most = max(loss, *losses.values()) or 1.0
    table = Table(
        [Column("replaced in every layer", "left"), Column("loss"), Column("change", optional=1)],
        [
            [Cell(REPLACED[name]), number(value, 3, bar=value / most), Cell(significant(value - loss, 3, sign=True))]
            for name, value in {"nothing": loss, **losses}.items()
        ],
        title=f"loss on {whole(targets.numel())} tokens of the {part}, nats",
    )
    sentence = (
        f"The loss is {fixed(loss, 3)}. With a straight line for GELU it is {fixed(losses['gelu'], 3)}, with the scores "
        f"themselves for exp {fixed(losses['exp'], 3)}, with both {fixed(losses['both'], 3)}."
    )
    return ExperimentResult(View("linear_parts", "without curved functions", sentence, [table]), measures)


SAME_WEIGHTS_TOKENS = 128


@experiment
def same_weights(context: ExperimentContext) -> Slices[ExperimentResult]:
    """Measures `largest_difference` between what a layer computes of a vector at its position and at the mirrored one, relative
    to the largest number there; `shift_change`, the mean total variation of the next token's probabilities when the same tokens
    get the position embeddings of `shift` positions later; `parameters`, `position_parameters` and `position_share`.

    Raises: UserError: if there are not two tokens, or the run's text cannot be read.
    """
    import torch

    from lab.experiments.batch_passes import embedded, hidden

    model, shift = context.model, context.config.context // 2
    row, part = context.windows(1, min(context.config.context - shift, context.affordable(SAME_WEIGHTS_TOKENS, passes=4)))
    ids = torch.from_numpy(row[:, :-1])
    tokens = ids.shape[1]
    if tokens < 2:
        raise UserError(f"The context or the text of {context.run_name} is too short to change positions; choose another run.")
    differences: list[float] = []
    x = embedded(model, ids)
    for block in model.blocks:
        with torch.no_grad():
            here, there = (
                torch.cat([block.attn.c_attn(block.ln_1(each)), block.mlp(block.ln_2(each))], -1) for each in (x, x.flip(1))
            )
            differences.append(float((here - there.flip(1)).abs().max() / here.abs().max()))
            x = block(x, None, 0)
        yield
    after = []
    for start in (0, shift):
        with torch.no_grad():
            stream = model.wte(ids) + model.wpe.weight[start : start + tokens]
        normed = yield from hidden(model, stream)
        after.append(model.unembed(normed).detach().double().softmax(-1))
    at_position, all_of_them = model.wpe.weight.numel(), sum(weight.numel() for weight in model.parameters())
    largest, change = max(differences), float((after[0] - after[1]).abs().sum(-1).mean() / 2)
    measures: dict[str, Measure] = {
        "tokens": tokens,
        "part": part,
        "shift": shift,
        "largest_difference": largest,
        "shift_change": change,
        "parameters": all_of_them,
        "position_parameters": at_position,
        "position_share": at_position / all_of_them,
    }
    table = Table(
        [Column("", "left"), Column("largest difference")],
        [[Cell(f"layer {layer + 1}"), Cell(significant(value, 2))] for layer, value in enumerate(differences)],
        title="queries, keys, values and MLP of one vector at two positions",
    )
    exact = "exactly the same" if not largest else f"the same, up to {significant(largest, 2)} of the largest number"
    sentence = (
        f"Of one vector a layer computes {exact}, at whichever position. With the position embeddings of {whole(shift)} "
        f"positions later, {probability(change)} of the next token's probability moves."
    )
    return ExperimentResult(View("same_weights", "two positions, one set of weights", sentence, [table]), measures)
