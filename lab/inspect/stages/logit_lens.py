"""The logit lens of every stage of the forward pass, the norm of what each part adds, and the most probable next tokens."""

from dataclasses import dataclass

from lab.inspect.stages.logits_and_sampling_stage import largest
from lab.inspect.stages.stage_context import StageContext
from lab.inspect.stages.stage_registry import STAGES, stage_entries
from lab.views.blocks import LensPath, Prediction, StageEntry, Token
from lab.views.softmax_table import softmax
from models.check import check
from models.unembed import unembed

GUESSES = 20
BELOW_1 = 1 - 2**-53
"""The largest float below 1: no token of several has probability 1."""


def lens_path(context: StageContext) -> LensPath:
    found = stage_entries(context.config.layers)
    lenses = logit_lens(context)
    for step in found:
        answer = lenses.get(_stream(step, context.config.layers))
        if answer is not None:
            step.lens, step.rank, step.stream = answer.top, answer.rank, answer.norm
            step.added = answer.added if STAGES[step.stage].ends_part else None
    drawn = context.draw()
    next(step for step in found if step.stage == "sample").lens = Prediction(
        drawn.id, context.tokenizer.label(drawn.id), float(drawn.after[drawn.id])
    )
    return LensPath(
        tokens=[Token(id_, context.label(i), context.traced.probabilities[i]) for i, id_ in enumerate(context.ids)],
        steps=found,
        position=context.position,
        dropped=context.dropped,
        top=_top(context),
        step=context.opened.step,
    )


def _stream(step: StageEntry, layers: int) -> str:
    """The residual stream after a stage, "" for stages that do not change it."""
    stage = STAGES[step.stage]
    if stage.ends_part:
        return f"blocks.{step.layer or 0}.{stage.computes}"
    return f"blocks.{layers - 1}.resid_post" if step.stage in ("ln_final", "logits") else ""


def residual_streams(layers: int) -> list[str]:
    """Every residual stream that has a logit lens, in order; the last one's are the logits."""
    return ["blocks.0.resid_pre", *(f"blocks.{layer}.{part}" for layer in range(layers) for part in ("resid_mid", "resid_post"))]


@dataclass(frozen=True)
class StreamLens:
    """Logit lens of one residual stream at one position, with the stream's norm."""

    top: Prediction
    rank: int
    """Rank of the model's final prediction, 1 being the top."""
    norm: float
    added: float
    """Norm of the difference from the stream before; of the first stream, its own."""


Lens = dict[str, StreamLens]


def logit_lens(context: StageContext) -> Lens:
    """The top prediction of each residual stream at the position, with the rank of the model's final prediction there, and norms.

    Final norm and output head are applied to each stream (nostalgebraist 2020, "interpreting GPT: the logit lens").
    """
    return context.traced.get_or_compute("lens", context.position, lambda: _lens(context))


def _lens(context: StageContext) -> Lens:
    import torch

    from models.trace import layer_norm

    names = residual_streams(context.config.layers)
    rows = torch.stack([context.trace[name][context.position] for name in names])  # (2L + 1, C)
    logits = unembed(context.opened.model, layer_norm(rows, context.opened.model.ln_f))  # (2L + 1, V)
    predictions, ranks = [], []
    for row in logits:
        best, id_ = row.max(-1)
        # In fp32 the rest of 1 for all other tokens would be lost, and a lens would read 100% beside the >99% of another.
        p = float((best.double() - row.double().logsumexp(-1)).exp().clamp(max=BELOW_1))
        predictions.append(Prediction(int(id_), context.tokenizer.label(int(id_)), p))
        ranks.append(int((row > row[context.answer]).sum()) + 1)
        check()
    norms = rows.double().norm(dim=-1).tolist()
    added = rows.double().diff(dim=0, prepend=rows.new_zeros(1, rows.shape[1]).double()).norm(dim=-1).tolist()
    return {name: StreamLens(*each) for name, *each in zip(names, predictions, ranks, norms, added, strict=True)}


def _top(context: StageContext) -> list[Prediction]:
    probabilities, label = softmax(context.logits), context.tokenizer.label
    return [Prediction(id_, label(id_), float(probabilities[id_])) for id_ in largest(probabilities, GUESSES)]
