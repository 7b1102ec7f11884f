"""The weights while the model writes: a checksum of every tensor before and after, and the prediction for the same prompt."""

from lab.core.number_format import probability, whole
from lab.experiments.experiment_context import ExperimentContext
from lab.experiments.experiment_result import ExperimentResult, Measure
from lab.inspect.stages.prompt_tokens import PromptTokens
from lab.views.blocks import Cell, Column, Paragraph, Table, View
from models.unembed import Slices

TOKENS = 64
"""Tokens that are written."""


def weights_in_use(context: ExperimentContext) -> Slices[ExperimentResult]:
    """Measures `tensors`, `changed_tensors` after writing `tokens` tokens, and `probability_before`, `probability_after` of the
    most probable token after the prompt.

    Raises: UserError: if there is no prompt.
    """
    import torch

    from models import sampling
    from models.sampling_settings import SamplingSettings

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
    yield
    written = []
    for token in sampling.generate(model, ids, TOKENS, SamplingSettings()):
        written.append(token.id)
        yield
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
    named = [("tensors of weights", whole(len(before)), whole(len(after)))]
    named.append(("of those changed", "", whole(len(changed))))
    named.append(("most probable next token", probability(chance_before), probability(chance_after)))
    table = Table(
        [Column("", "left"), Column("before"), Column("after")],
        [[Cell(name), Cell(first), Cell(second)] for name, first, second in named],
        title=f"before and after writing {whole(len(written))} tokens",
    )
    excerpt = Paragraph(f"It wrote: {''.join(context.tokenizer.label(id_) for id_ in written)}")
    sentence = f"Writing {whole(len(written))} tokens changed {whole(len(changed))} of {whole(len(before))} tensors of weights."
    return ExperimentResult(View("weights_in_use", "weights while writing", sentence, [table, excerpt]), measures)
