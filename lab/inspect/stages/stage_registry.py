"""The stages of the forward pass in the order of the computation, and notes on the interventions in what they show.

To add one, write the function of its view, with its entry (`Stage`) over it, and its name here.
"""

from collections.abc import Mapping

from lab.core.errors import UserError
from lab.inspect.interventions import Interventions, describe_interventions
from lab.inspect.model_cache import OpenModel, TraceCache
from lab.inspect.stages.all_heads_stage import heads, thumbnails
from lab.inspect.stages.attention_output_stage import attn_out, values
from lab.inspect.stages.attention_scores_stage import VERY_WIDE, matrix, qkv, scores
from lab.inspect.stages.embedding_stage import embed, neighbours, positions, tokens
from lab.inspect.stages.kv_cache_stage import cache
from lab.inspect.stages.lens_grid_stage import lens
from lab.inspect.stages.logits_and_sampling_stage import likeliest, logits, sample
from lab.inspect.stages.mlp_stage import mlp, neurons
from lab.inspect.stages.residual_stream_stage import ln1, ln2, ln_final, resid_mid, resid_post
from lab.inspect.stages.score_parts_stage import why
from lab.inspect.stages.stage_context import Stage, StageContext
from lab.views.blocks import Block, Paragraph, StackedStrips, StageEntry, View
from lab.views.number_refs import ref
from lab.views.number_tables import stacked
from models.config import SamplingSettings

BEFORE_LAYERS = {"tokens": (tokens,), "embed + position": (embed, neighbours, positions)}
"""Stages by the group of the left column that they belong to."""
LAYER = {
    "attention": (ln1, qkv, matrix, scores, why, heads, thumbnails, values, attn_out, resid_mid),
    "mlp": (ln2, mlp, neurons, resid_post),
}
"""Stages of each layer, by its attention and its MLP."""
AFTER_LAYERS = {"final norm": (ln_final,), "logits → softmax": (logits, lens), "sample": (sample,), "KV cache": (cache,)}

STAGES = {stage.name: stage for groups in (BEFORE_LAYERS, LAYER, AFTER_LAYERS) for stages in groups.values() for stage in stages}
IN_LAYERS = tuple(stage.name for stages in LAYER.values() for stage in stages)
"""Names of the stages that every layer has."""
OF_ANY_LAYER = ("cache",)
"""Stages outside the layers that show what belongs to one of them."""


def stage_entries(layers: int) -> list[StageEntry]:
    """Every stage of a model with so many layers, in order, the logit lens left empty."""
    return [
        *_entries(BEFORE_LAYERS),
        *(entry for layer in range(layers) for entry in _entries(LAYER, layer)),
        *_entries(AFTER_LAYERS),
    ]


def _entries(groups: Mapping[str, tuple[Stage, ...]], layer: int | None = None) -> list[StageEntry]:
    prefix = "" if layer is None else f"{layer + 1} "
    return [StageEntry(stage.name, stage.title, prefix + group, layer) for group, stages in groups.items() for stage in stages]


def stage_view(name: str, context: StageContext) -> View:
    """The view of a stage. Raises: UserError if there is no such stage."""
    if name not in STAGES:
        raise UserError(f"There is no stage called {name}; the stages are {', '.join(STAGES)}.")
    view = STAGES[name].view(context)
    if name == "tokens" and (context.width or 0) >= VERY_WIDE:  # there is room for their way through the model
        embedded, predicted = stage_view("embed", context), stage_view("lens", context)
        view.blocks += [embedded.blocks[0], *predicted.blocks]
        view.fill = likeliest(context)
    return view


def check_place(opened: OpenModel, layer: int, head: int) -> None:
    """Raises: UserError: if the model has no such layer or head, both 0-based."""
    config = opened.model.config
    if not 0 <= layer < config.layers:
        raise UserError(f"There is no layer {layer + 1}: {opened.run.name} has {config.layers}.")
    if not 0 <= head < config.heads:
        raise UserError(f"There is no head {head + 1}: {opened.run.name} has {config.heads} in each layer.")


def prompt_view(opened: OpenModel, prompt: list[int], stage: str, layer: int, head: int, position: int | None = None) -> View:
    """The view of a stage for a prompt; layer, head and position count from 1, and the position is the last by default.
    Raises UserError if the model has no such place."""
    window = prompt[-opened.model.config.context :]
    at = len(window) if position is None else position
    check_place(opened, layer - 1, head - 1)
    if not 1 <= at <= len(window):
        raise UserError(f"There is no token {at}: the prompt has {len(window)} in the context.")
    import torch

    with torch.no_grad():
        traced = TraceCache().trace(opened, window)
        return stage_view(stage, StageContext(opened, traced, prompt, 0, at - 1, SamplingSettings(), layer - 1, head - 1))


VALUE_NAMES = {
    "attn.pattern": "the attention pattern",
    "attn.z": "z, the head's output",
    "attn_out": "the attention output",
    "mlp_out": "the MLP output",
    "resid_pre": "the residual stream",
    "resid_mid": "the residual stream",
    "resid_post": "the residual stream",
}


def add_intervention_notes(view: View, context: StageContext, made: Interventions) -> View:
    """The view under notes on the interventions on its input and output, and its value before and after them."""
    notes: list[Block] = []
    had = _changing(made, context, view.stage, STAGES[view.stage].reads) if (view.stage, context.layer) != ("ln1", 0) else ()
    if had:
        notes.append(Paragraph(f"Intervention on the input: {describe_interventions(had)}. Shown are the values with it."))
    here = _changing(made, context, view.stage, STAGES[view.stage].computes)
    if here:
        words = f"Intervention here: {describe_interventions(here)}. "
        is_vector = view.stage not in ("heads", "matrix")
        rest = (
            "Below the comparison are the values before it."
            if is_vector
            else "Shown are the values before it; later stages have it."
        )
        notes.append(Paragraph(words + rest))
        if is_vector:
            notes.append(_before_and_after(context, view.stage))
    view.blocks[:0] = notes
    return view


def _changing(made: Interventions, context: StageContext, stage: str, value: str) -> Interventions:
    """The interventions on a value of the stage, at the indices that it shows."""
    if not value:
        return ()
    name = f"blocks.{0 if stage == 'embed' else context.layer}.{value}"
    at = (context.head, context.position) if stage == "scores" else (context.head,) if stage == "matrix" else (context.position,)
    if stage == "values":
        at = (context.position, context.head)
    return tuple(
        each for each in made if any(edit.name == name and edit.changes(at) for edit in each.edits(context.config.layers))
    )


def _before_and_after(context: StageContext, stage: str) -> StackedStrips:
    """The vector before and after the intervention, and the difference, on one scale."""
    at, name = context.position, f"blocks.{0 if stage == 'embed' else context.layer}.{STAGES[stage].computes}"
    index = {"scores": (context.head, at), "values": (at, context.head)}.get(stage, (at,))
    keys = slice(0, at + 1) if stage == "scores" else slice(None)
    unchanged = context.before(name, *index)
    before, after = (context.array(each)[index][keys].astype("float64") for each in (unchanged, name))
    vectors = [
        ("before", before, ref(unchanged, *index)),
        ("after", after, ref(name, *index)),
        ("after − before", after - before, ""),
    ]
    return stacked(f"intervention on {VALUE_NAMES[STAGES[stage].computes]}", vectors)
