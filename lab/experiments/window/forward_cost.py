"""The multiplications of one forward pass over more and more tokens: the weights' part and attention's."""

from lab.core.number_format import count, probability, whole
from lab.experiments.experiment_context import ExperimentContext
from lab.experiments.experiment_result import ExperimentResult, Measure
from lab.experiments.sizes.parameter_parts import OWN
from lab.views.blocks import Cell, Column, Table, View
from models.parameter_count import multiplications

LENGTHS = 8


def forward_cost(context: ExperimentContext) -> ExperimentResult:
    """Measures, for the model's whole context of `tokens`, `total` multiplications, and of those `weights` and `attention`;
    `doubled` is the factor of attention's part from half as many tokens.

    The input `model` is `your model`, its default, or a size of GPT-2. The pass predicts one next token and uses no cache.
    """
    from lab.experiments.sizes.gpt2_sizes import SHAPES, config_of

    size = context.text("model", OWN)
    config = config_of(size) if size in SHAPES else context.config
    name = f"GPT-2{'' if size == 'GPT-2' else f' {size}'}" if size in SHAPES else context.run_name
    lengths = sorted({max(1, config.context >> halved) for halved in range(LENGTHS)})
    head = config.vocab_size * config.width
    per_token = 12 * config.layers * config.width**2
    rows = []
    for tokens in lengths:
        total = multiplications(config, tokens, tokens)
        attention = total - head - tokens * per_token
        share = attention / total
        rows.append(
            [
                Cell(whole(tokens)),
                Cell(count(tokens * per_token + head), value=float(tokens * per_token + head)),
                Cell(count(attention), value=float(attention)),
                Cell(probability(share), value=share, bar=share),
                Cell(count(total), value=float(total)),
                Cell(count(tokens * tokens), value=float(tokens * tokens)),
            ]
        )
    longest, half = lengths[-1], max(1, lengths[-1] // 2)
    total = multiplications(config, longest, longest)
    attention = total - head - longest * per_token
    of_half = multiplications(config, half, half) - head - half * per_token
    measures: dict[str, Measure] = {
        "tokens": longest,
        "total": total,
        "attention": attention,
        "weights": total - attention,
        "doubled": attention / of_half,
    }
    columns = [
        Column("tokens T"),
        Column("by weights"),
        Column("by attention"),
        Column("attention's share"),
        Column("multiplications", optional=2),
        Column("T × T", optional=1),
    ]
    sentence = (
        f"{name} predicts one token from its whole context of {whole(longest)} by {count(total)} multiplications, "
        f"{probability(attention / total)} of them between pairs of tokens. Twice the tokens make that part four times as large."
    )
    view = View("forward_cost", f"one forward pass of {name}", sentence, [Table(columns, rows)])
    return ExperimentResult(view, measures)
