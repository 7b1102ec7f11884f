"""What the engine can be asked, method by method. Each takes a params type of `lab.wire` and gives plain data of `lab.views`."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from lab.errors import UserError
from lab.explanation import Explanation
from lab.server import InSlices, Method
from lab.shelf import OpenModel, Shelf
from lab.stages.look import Look
from lab.stages.show import show
from lab.stages.way import way
from lab.tensor_file import read_metadata
from lab.unembed import finish
from lab.views import Array, ModelFacts, Token, View, Way
from lab.wire import (
    MAX_FRAME,
    ExplainParams,
    GenerateParams,
    OpenParams,
    PromptParams,
    SampleParams,
    SamplingSettings,
    TraceParams,
    ViewParams,
    WayParams,
)
from models.accounts import parameter_count
from models.sampling_settings import Sampling

if TYPE_CHECKING:
    from lab.explain import Explainer
    from models.trace import Trace

EMPTY_PROMPT = "The prompt is empty: GPT-2 predicts a token from those before it, so it needs at least one; type a word."

LARGEST_TRACE = MAX_FRAME - (1 << 20)
"""Bytes of a trace's arrays that one answer can carry."""


class EngineMethods:
    def __init__(self) -> None:
        self.shelf = Shelf()

    def table(self) -> dict[str, Method]:
        return {
            "open": Method(OpenParams, self.open),
            "way": Method(WayParams, self.way_in_slices),
            "view": Method(ViewParams, self.view),
            "explain": Method(ExplainParams, self.explain),
            "sample": Method(SampleParams, self.sample),
            "generate": Method(GenerateParams, self.generate),
            "trace_arrays": Method(TraceParams, self.trace_arrays),
        }

    def open(self, params: OpenParams) -> ModelFacts:
        """Loads the checkpoint if it is not held or its file has changed. Raises: UserError."""
        opened = self.shelf.model(params.run, params.checkpoint, fresh=True)
        config = opened.model.config
        return ModelFacts(
            run=opened.run.name,
            checkpoint=opened.checkpoint,
            step=opened.step,
            layers=config.layers,
            heads=config.heads,
            width=config.width,
            context=config.context,
            vocab_size=config.vocab_size,
            parameters=parameter_count(config),
            tokenizer=opened.tokenizer.kind,
            val_loss=_val_loss(opened),
        )

    def way(self, params: WayParams) -> Way:
        """Raises: UserError."""
        return finish(way(self._look(params, params.sampling, params.position)))

    def way_in_slices(self, params: WayParams) -> InSlices:
        """The same, so that a view that is waited for does not wait for it. Raises: UserError."""
        return InSlices(way(self._look(params, params.sampling, params.position)))

    def view(self, params: ViewParams) -> View:
        """Raises: UserError."""
        look = self._look(params, params.sampling, params.position, params.layer, params.head, params.width_hint)
        return show(params.stage, look)

    def explain(self, params: ExplainParams) -> Explanation:
        """Any number of the prompt's views, as its formula over numbers that can be explained in turn. Raises: UserError."""
        from lab.quantities import UnknownNumberError

        look = self._look(params, params.sampling)
        explainer = look.traced.once(("explainer", look.sampling, look.draws_for - look.position), 0, lambda: self._explainer(look))
        try:
            return explainer.explain(params.ref)
        except UnknownNumberError as error:
            raise UserError(str(error)) from error

    def _explainer(self, look: Look) -> "Explainer":
        from lab.explain import Explainer

        return Explainer(
            look.opened.model,
            look.trace,
            look.tokenizer.label,
            lambda name: self.shelf.initial_weight(look.opened.run, name),
            lambda position: dataclasses.replace(look, position=position),
        )

    def sample(self, params: SampleParams) -> Token:
        """The token that the view of stage `sample` shows being drawn at the last position. Raises: UserError."""
        look = self._look(params, params.sampling)
        drawn = look.draw()
        return Token(drawn.id, look.tokenizer.label(drawn.id), float(drawn.before[drawn.id]))

    def generate(self, params: GenerateParams) -> Iterator[Token]:
        """Places are counted from the first of the ids, whatever `earlier` is. Raises: UserError."""
        opened = self.shelf.model(params.run, params.checkpoint)
        ids, sampling = _ids(opened, params), _sampling(params.sampling)
        if params.n < 1:
            raise UserError(f"The number of tokens to write must be at least 1, not {params.n}.")
        if params.edits:
            raise UserError("Edits cannot be made while writing several tokens; sample them one by one.")

        def tokens() -> Iterator[Token]:
            from models.sampling import generate

            for drawn in generate(opened.model, ids, params.n, sampling):
                yield Token(drawn.id, opened.tokenizer.label(drawn.id), drawn.probability)

        return tokens()

    def trace_arrays(self, params: TraceParams) -> dict[str, Array]:
        """Raises: UserError."""
        trace = self._look(params, SamplingSettings()).traced.trace
        names = trace.names() if params.names is None else params.names
        unknown = sorted(set(names) - set(trace.names()))
        if unknown:
            raise UserError(f"The trace has nothing called {unknown[0]}; names are like blocks.0.attn.pattern or logits.")
        return _arrays(trace, names)

    def _look(
        self,
        params: PromptParams,
        sampling: SamplingSettings,
        position: int | None = None,
        layer: int = 0,
        head: int = 0,
        width: int | None = None,
    ) -> Look:
        opened = self.shelf.model(params.run, params.checkpoint)
        config = opened.model.config
        if not 0 <= layer < config.layers:
            raise UserError(f"There is no layer {layer + 1}: {opened.run.name} has {config.layers}.")
        if not 0 <= head < config.heads:
            raise UserError(f"There is no head {head + 1}: {opened.run.name} has {config.heads} in each layer.")
        ids = _ids(opened, params)
        window = ids[-config.context :]
        last = len(window) - 1
        return Look(
            opened=opened,
            traced=self.shelf.traced(opened, window, params.edits),
            dropped=len(ids) - len(window),
            earlier=params.earlier,
            position=last if position is None else max(0, min(position, last)),
            sampling=_sampling(sampling),
            layer=layer,
            head=head,
            width=width,
        )


def _ids(opened: OpenModel, params: PromptParams) -> list[int]:
    ids = opened.tokenizer.encode(params.text) if params.ids is None else list(params.ids)
    if not ids:
        raise UserError(EMPTY_PROMPT)
    strangers = [id_ for id_ in ids if not 0 <= id_ < opened.model.config.vocab_size]
    if strangers:
        raise UserError(f"{strangers[0]} is no token of {opened.run.name}: ids are 0 to {opened.model.config.vocab_size - 1}.")
    return ids


def _sampling(settings: SamplingSettings) -> Sampling:
    return Sampling(settings.temperature, settings.top_k, settings.top_p, settings.seed, settings.greedy)


def _val_loss(opened: OpenModel) -> float | None:
    """Validation loss of the step whose weights these are, None where it was not evaluated."""
    metadata = read_metadata(Path(opened.identity[0])) or {}
    if "val_loss" in metadata:
        return float(metadata["val_loss"])
    losses = {metric.step: metric.val_loss for metric in opened.run.metrics().read() if metric.val_loss is not None}
    return losses.get(opened.step)


def _arrays(trace: "Trace", names: tuple[str, ...] | list[str]) -> dict[str, Array]:
    arrays: dict[str, Array] = {}
    size = 0
    for name in names:
        value = trace[name]
        size += 4 * value.numel()
        if size > LARGEST_TRACE:
            raise UserError("The whole trace is too large to hand over at once: ask for some of its names, or a shorter prompt.")
        arrays[name] = Array.of(value.float().numpy())
    return arrays
