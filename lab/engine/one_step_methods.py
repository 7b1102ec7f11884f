"""The engine's method `one_step`: holds one run's step, and answers what is asked about it."""

import math
from dataclasses import replace

from torch import Tensor

from lab.core.errors import UserError
from lab.engine.one_step_protocol import STAGES, StepAnswer, StepFacts, StepParams
from lab.one_step.gradients_view import gradients
from lab.one_step.load_run import open_step
from lab.one_step.stage_views import StepLook, batch, error, losses
from lab.one_step.step_batch import StepBatch, own_batch, sentence_batch
from lab.one_step.training_step import OneStep
from lab.one_step.weight_changes_view import after, moves
from lab.one_step.weight_update_view import weight
from lab.runs.run_store import open_run
from lab.runs.run_tokenizer import tokenizer_of
from lab.views.blocks import Token, View
from models.tokenizers.tokenizer import Tokenizer
from models.trace import Trace, layer_norm
from models.unembed import Slices


class OneStepMethods:
    """Opens a run's checkpoint once, and again when it is asked to; a step of another run takes its place."""

    def __init__(self) -> None:
        self._key: tuple[str, int] | None = None
        self._batch_key: tuple[str | None, int] | None = None
        self._step: OneStep | None = None
        self._tokenizer: Tokenizer | None = None

    def one_step(self, params: StepParams) -> Slices[StepAnswer]:
        """Raises: UserError."""
        if params.stage not in STAGES:
            raise UserError(f"There is no stage called {params.stage}; the stages are {', '.join(STAGES)}.")
        step, tokenizer = self._open(params)
        yield
        self._learn_from(params, step, tokenizer)
        yield from step.go_to(max(0, params.applied))
        if params.stage in ("moves", "weight") or (params.stage == "after" and step.applied == 0):
            yield from step.look_ahead()
        look = self._look(params, step, tokenizer)
        if params.stage in ("losses", "error") or (params.stage == "after" and step.applied):
            look = replace(look, inspected=(yield from _inspected(look)))
        return StepAnswer(_facts(step), _tokens(look), look.window, look.position, _view(look, params))

    def _open(self, params: StepParams) -> tuple[OneStep, Tokenizer]:
        if self._key != (params.run, params.opened) or self._step is None or self._tokenizer is None:
            self._key = self._batch_key = self._step = None  # what was held goes before the other is read
            run = open_run(params.run)
            self._tokenizer = tokenizer_of(run)
            self._step = open_step(run)
            self._key = params.run, params.opened
        return self._step, self._tokenizer

    def _learn_from(self, params: StepParams, step: OneStep, tokenizer: Tokenizer) -> None:
        key = params.text, params.ahead
        if key != self._batch_key:
            found = self._found(params, step, tokenizer)
            self._batch_key = None
            step.learn_from(found)
            self._batch_key = key

    def _found(self, params: StepParams, step: OneStep, tokenizer: Tokenizer) -> StepBatch:
        if params.text is not None:
            return sentence_batch(tokenizer, params.text, step.run.config.model.context)
        parts = step.state.micro_batches or step.run.config.train.accumulate
        return own_batch(step.run, step.state.step + params.ahead, parts)

    def _look(self, params: StepParams, step: OneStep, tokenizer: Tokenizer) -> StepLook:
        assert step.batch is not None
        window = max(0, min(params.window, len(step.batch.ids) - 1))
        first = StepLook(step, tokenizer, window, 1)
        position = int(first.losses(0).argmax()) + 1 if params.position is None else params.position
        return StepLook(step, tokenizer, window, max(1, min(position, first.width)))


def _inspected(look: StepLook) -> Slices[Tensor]:
    """(T, C) what the head is applied to in Inspect's forward pass of the window."""
    model = look.step.model
    trace = yield from Trace.incremental(model, look.ids[:-1])
    return layer_norm(trace[f"blocks.{model.config.layers - 1}.resid_post"], model.ln_f)


def _facts(step: OneStep) -> StepFacts:
    assert step.batch is not None
    return StepFacts(
        run=step.run.name,
        checkpoint=step.checkpoint,
        step=step.state.step,
        batch=step.batch.step,
        windows=len(step.batch.ids),
        applied=step.applied,
        losses=[moment.mean for moment in step.moments],
        rate=step.rate,
    )


def _tokens(look: StepLook) -> list[Token]:
    given = [None, *(math.exp(-loss) for loss in look.losses().tolist())]
    return [Token(id_, look.label(place), p) for place, (id_, p) in enumerate(zip(look.ids, given, strict=True))]


def _view(look: StepLook, params: StepParams) -> View:
    match params.stage:
        case "batch":
            return batch(look)
        case "losses":
            return losses(look)
        case "error":
            return error(look)
        case "gradients":
            return gradients(look)
        case "moves":
            return moves(look)
        case "weight":
            return weight(look, params.weight)
        case _:
            return after(look)
