"""The trace of a prompt: tokenize, cut to the context, resolve interventions and run the forward pass, all in one call."""

from collections.abc import Sequence

from lab.core.errors import UserError
from lab.engine.method_registry import LensParams, PromptParams, SampleParams, ViewParams
from lab.inspect.interventions import Intervention, edits_of
from lab.inspect.model_cache import ModelCache
from lab.inspect.open_model import OpenModel
from lab.inspect.stages.stage_context import StageContext
from models.sampling_settings import SamplingSettings
from models.trace_edits import Edit
from models.unembed import Slices

EMPTY_PROMPT = "The prompt is empty: GPT-2 predicts a token from those before it, so it needs at least one; type a word."


def trace_prompt(models: ModelCache, params: PromptParams) -> Slices[StageContext]:
    """The traced prompt, at the position, layer and head of the parameters as far as they have them.

    One layer of the trace per slice, so that other requests are served in between. Raises: UserError.
    """
    opened = models.model(params.run, params.checkpoint)
    layer, head, width = (params.layer, params.head, params.width_hint) if isinstance(params, ViewParams) else (0, 0, None)
    check_place(opened, layer, head)
    prompt = token_ids(opened, params.text, params.ids)
    window = prompt[-opened.model.config.context :]
    edits = yield from resolve_edits(models, opened, params)
    traced = yield from models.traces.trace_incrementally(opened, window, edits)
    last = len(window) - 1
    position = params.position if isinstance(params, LensParams) else None
    return StageContext(
        opened=opened,
        traced=traced,
        prompt=prompt,
        earlier=params.earlier,
        position=last if position is None else max(0, min(position, last)),
        sampling=params.sampling if isinstance(params, LensParams | SampleParams) else SamplingSettings(),
        layer=layer,
        head=head,
        width=width,
    )


def check_place(opened: OpenModel, layer: int, head: int) -> None:
    """Raises: UserError: if the model has no such layer or head, both 0-based."""
    config = opened.model.config
    if not 0 <= layer < config.layers:
        raise UserError(f"There is no layer {layer + 1}: {opened.run.name} has {config.layers}.")
    if not 0 <= head < config.heads:
        raise UserError(f"There is no head {head + 1}: {opened.run.name} has {config.heads} in each layer.")


def resolve_edits(models: ModelCache, opened: OpenModel, params: PromptParams) -> Slices[tuple[Edit, ...]]:
    """The edits of the forward pass, with the vectors that patches take from other prompts. Raises: UserError."""
    config = opened.model.config
    vectors: dict[Intervention, list[float]] = {}
    for each in params.interventions:
        if not (0 <= each.layer < config.layers and 0 <= each.head < config.heads):
            raise UserError(f"{opened.run.name} has no {each.object}: it has {config.layers} layers of {config.heads} heads.")
        if each.how == "patch":
            vectors[each] = yield from _source_vector(models, opened, each)
    return (*params.edits, *edits_of(params.interventions, config.layers, vectors.__getitem__))


def _source_vector(models: ModelCache, opened: OpenModel, patch: Intervention) -> Slices[list[float]]:
    source = patch.source
    window = token_ids(opened, source.text, source.ids)[-opened.model.config.context :] if source is not None else []
    if source is None or not 0 <= source.position < len(window):
        raise UserError(f"The second prompt has no such token to take {patch.object} from.")
    traced = yield from models.traces.trace_incrementally(opened, window)
    value = traced.trace[f"blocks.{patch.layer}.{patch.part}"]
    at = value[source.position]
    vector: list[float] = (at[patch.head] if value.dim() == 3 else at).tolist()
    return vector


def token_ids(opened: OpenModel, text: str, given: Sequence[int] | None) -> list[int]:
    """The prompt's token ids: those given, else those of the text. Raises: UserError."""
    ids = opened.tokenizer.encode(text) if given is None else list(given)
    if not ids:
        raise UserError(EMPTY_PROMPT)
    vocab_size = opened.model.config.vocab_size
    unknown = [id_ for id_ in ids if not 0 <= id_ < vocab_size]
    if unknown:
        raise UserError(f"{unknown[0]} is no token of {opened.run.name}: ids are 0 to {vocab_size - 1}.")
    return ids
