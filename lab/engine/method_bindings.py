"""The implementation of each of the engine's methods but those on a prompt; all bound to their entries in the registry."""

from collections.abc import Callable, Generator
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from lab.core.errors import UserError
from lab.core.safetensors_file import read_metadata
from lab.data.default_prompts import first_prompt
from lab.engine import method_registry as table
from lab.engine.feature_methods import FeatureMethods
from lab.engine.method_registry import ChatAnswer, ChatParams, ExperimentParams, OneStepParams, OpenParams, ReleaseParams
from lab.engine.prompt_methods import PromptMethods, resolve_edits, token_ids
from lab.engine.server import AnyImplementation, Implementation
from lab.experiments.experiment_context import ExperimentContext
from lab.experiments.experiment_registry import run_experiment
from lab.experiments.experiment_result import ExperimentResult
from lab.inspect.model_cache import Identity, ModelCache, OpenModel
from lab.inspect.stages.stage_registry import check_place
from lab.runs.find_runs import open_run
from lab.runs.run_folder import tokenizer_of
from lab.runs.run_in_words import during_training
from lab.runs.run_summary import origin_in_short
from lab.training.one_step.backward_pass import backward_pass, backward_view, gradient_norms_view, logits_gradient_view
from lab.training.one_step.batch_view import after_step_view, batch_view, token_losses_view
from lab.training.one_step.starting_point import OpenCheckpoint, StepBatch, open_checkpoint, own_batch, sentence_batch
from lab.training.one_step.step_stages import STAGES, StepAnswer, StepFacts
from lab.training.one_step.training_step import TrainingStep
from lab.training.one_step.view_context import StepContext
from lab.training.one_step.weight_update_view import weight_changes_view, weight_update_view
from lab.views.blocks import ModelFacts, Token, View
from models.chat import Chat, template_of, template_sentence
from models.check import check
from models.parameter_count import parameter_count
from models.tokenizers.tokenizer import Tokenizer
from models.trace import Trace, layer_norm


@dataclass
class Writing:
    """An answer that is being written, which the next request goes on with where it asks for just that."""

    identity: Identity
    params: ChatParams
    """What was asked, with the turns as they are by now."""
    answers: Generator[Chat, None, None]


@dataclass
class ChatMethods:
    models: ModelCache
    _writing: Writing | None = None

    def chat(self, params: ChatParams) -> ChatAnswer:
        """The conversation with at most `tokens` more tokens of its last answer. Raises: UserError."""
        opened = self.models.model(params.run, params.checkpoint, fresh=True)
        is_tuned = opened.run.config.tuning is not None
        template = template_of(opened.tokenizer, is_tuned=is_tuned)
        system = template.system_of(first_prompt(opened.run)) if params.system is None else params.system
        stops = (template.stop,) if params.stops is None else params.stops
        chat, context = Chat(opened.tokenizer, template, system, params.turns, stops), opened.model.config.context
        writing, self._writing = self._writing, None
        if writing is None or (writing.identity, writing.params) != (opened.identity, params):
            writing = Writing(opened.identity, params, chat.answers(opened.model, params.sampling, params.most))
        for _ in range(params.tokens if chat.turns and not chat.turns[-1].end else 0):
            check()
            opened.refuse_released()
            following = next(writing.answers, None)
            if following is None:
                break
            chat = following
        if chat.turns and not chat.turns[-1].end:
            writing.params = msgspec.structs.replace(params, turns=chat.turns)
            self._writing = writing
        document = chat.document(context, params.most)
        return ChatAnswer(
            about=f"{opened.note} {template_sentence(template, stops, is_tuned=is_tuned)}".lstrip(),
            is_tuned=is_tuned or bool(template.special),
            system=system,
            stops=stops,
            turns=chat.turns,
            texts=[chat.answer_text(turn) for turn in chat.turns[:-1]] + ([chat.settled_text()] if chat.turns else []),
            ids=tuple(document.ids),
            labels=[opened.tokenizer.label(id) for id in document.ids],
            authors=document.authors,
            left_out=document.left_out,
            context=context,
            step=opened.step,
        )


@dataclass
class HeldStep:
    """A run's checkpoint, read once, and the step on the batch that was asked for last."""

    key: tuple[str, int]
    """Run, and the number of times that its checkpoint was asked to be read."""
    checkpoint: OpenCheckpoint
    tokenizer: Tokenizer
    batch_key: tuple[str | None, int]
    step: TrainingStep


class OneStepMethods:
    def __init__(self) -> None:
        self._held: HeldStep | None = None

    def one_step(self, params: OneStepParams) -> StepAnswer:
        """A stage of the training step: its view, the window's tokens, the loss so far. Raises: UserError."""
        if params.stage not in STAGES:
            raise UserError(f"There is no stage called {params.stage}; the stages are {', '.join(STAGES)}.")
        held, self._held = self._held, None  # a request that is let in meanwhile takes steps of its own
        if held is not None and held.key != (params.run, params.opened):
            held = None  # frees its memory before another is read
        try:
            held = _on_batch(params, held)
            return _answer(params, held)
        finally:
            self._held = held


def _on_batch(params: OneStepParams, held: HeldStep | None) -> HeldStep:
    """The step of these parameters, with the checkpoint of `held` if there is one."""
    key, batch_key = (params.run, params.opened), (params.text, params.batch_offset)
    if held is not None:
        if held.batch_key == batch_key:
            return held
        batch = _batch(params, held.checkpoint, held.tokenizer)
        held.step.undo_all()
        return HeldStep(key, held.checkpoint, held.tokenizer, batch_key, TrainingStep(held.checkpoint, batch))
    run = open_run(params.run)
    tokenizer, checkpoint = tokenizer_of(run), open_checkpoint(run)
    check()
    return HeldStep(key, checkpoint, tokenizer, batch_key, TrainingStep(checkpoint, _batch(params, checkpoint, tokenizer)))


def _answer(params: OneStepParams, held: HeldStep) -> StepAnswer:
    step = held.step
    step.go_to(max(0, params.applied))
    if params.stage in ("changes", "weight") or (params.stage == "after" and step.applied == 0):
        step.preview()
    context = _context(params, step, held.tokenizer)
    if params.stage in ("backward", "losses", "logits_gradient") or (params.stage == "after" and step.applied):
        trace = Trace(step.model, context.ids[:-1])  # of Inspect's forward pass of the window
        hidden = layer_norm(trace[f"blocks.{step.model.config.layers - 1}.resid_post"], step.model.ln_f)  # (T, C)
        context = replace(context, inspect_hidden=hidden)
    facts = StepFacts(
        run=step.run.name,
        checkpoint=step.checkpoint.name,
        step=step.state.step,
        batch=step.batch.step,
        windows=len(step.batch.ids),
        applied=step.applied,
        losses=[snapshot.mean for snapshot in step.snapshots],
        lr=step.lr,
    )
    given = [None, *context.given().tolist()]
    tokens = [Token(id_, context.label(index), p) for index, (id_, p) in enumerate(zip(context.ids, given, strict=True))]
    picture = backward_pass(context) if params.stage == "backward" else None
    view = weight_update_view(context, params.weight) if params.stage == "weight" else VIEWS[params.stage](context)
    return StepAnswer(facts, tokens, context.window, context.position, view, picture)


def _batch(params: OneStepParams, checkpoint: OpenCheckpoint, tokenizer: Tokenizer) -> StepBatch:
    config, state = checkpoint.run.config, checkpoint.state
    if params.text is not None:
        return sentence_batch(tokenizer, params.text, config.model.context)
    return own_batch(checkpoint.run, state.step + params.batch_offset, state.micro_batches or config.train.accumulate)


def _context(params: OneStepParams, step: TrainingStep, tokenizer: Tokenizer) -> StepContext:
    window = max(0, min(params.window, len(step.batch.ids) - 1))
    first = StepContext(step, tokenizer, window, 1)
    position = int(first.losses(0).argmax()) + 1 if params.position is None else params.position
    return StepContext(step, tokenizer, window, max(1, min(position, first.width)))


VIEWS: dict[str, Callable[[StepContext], View]] = {
    "backward": backward_view,
    "batch": batch_view,
    "losses": token_losses_view,
    "logits_gradient": logits_gradient_view,
    "gradients": gradient_norms_view,
    "changes": weight_changes_view,
    "after": after_step_view,
}
"""By stage; that of `weight` needs the weight's name, too."""


@dataclass(frozen=True)
class ModelMethods:
    models: ModelCache

    def open(self, params: OpenParams) -> ModelFacts:
        """Load the checkpoint if it is not held or its file has changed. Raises: UserError."""
        opened = self.models.model(params.run, params.checkpoint, fresh=True)
        config, run = opened.model.config, opened.run
        share = during_training(run.config.data, run.status())
        return ModelFacts(
            run=run.name,
            checkpoint=opened.checkpoint,
            step=opened.step,
            layers=config.layers,
            heads=config.heads,
            width=config.width,
            context=config.context,
            vocab_size=config.vocab_size,
            parameters=parameter_count(config),
            tokenizer=opened.tokenizer.kind,
            origin=origin_in_short(run.config),
            val_loss=_val_loss(opened),
            val_on=share.loss_suffix if share else "",
            note=opened.note,
        )

    def release(self, params: ReleaseParams) -> bool:
        """Forget all of a run."""
        self.models.release(Path(params.path))
        return True

    def experiment(self, params: ExperimentParams) -> ExperimentResult:
        """The picture and the measures of an experiment. The prompt may be empty. Raises: UserError."""
        opened = self.models.model(params.run, params.checkpoint, fresh=True)
        check_place(opened, params.layer, params.head)
        prompt = token_ids(opened, params.text, params.ids) if params.text or params.ids else []
        context = ExperimentContext(
            opened=opened,
            traces=self.models.traces,
            prompt=prompt,
            position=params.position,
            layer=params.layer,
            head=params.head,
            sampling=params.sampling,
            edits=resolve_edits(self.models, opened, params),
            inputs=params.inputs,
            width=params.width_hint,
        )
        result = run_experiment(params.name, context)
        result.view.step = opened.step
        return result


def _val_loss(opened: OpenModel) -> float | None:
    """Validation loss of the step whose weights these are, None where it was not evaluated."""
    metadata = read_metadata(Path(opened.identity[0])) or {}
    if "val_loss" in metadata:
        return float(metadata["val_loss"])
    return {metric.step: metric.val_loss for metric in opened.run.metrics(evaluated=True).read()}.get(opened.step)


def implementations(models: ModelCache) -> list[AnyImplementation]:
    """All methods, over one cache of models and traces."""
    model, prompt, features = ModelMethods(models), PromptMethods(models), FeatureMethods(models)
    return [
        Implementation(table.OPEN, model.open),
        Implementation(table.RELEASE, model.release),
        Implementation(table.LENS, prompt.lens),
        Implementation(table.VIEW, prompt.view),
        Implementation(table.CODE, prompt.code),
        Implementation(table.EXPLAIN, prompt.explain),
        Implementation(table.ATTRIBUTION, prompt.attribution),
        Implementation(table.EVIDENCE, prompt.evidence),
        Implementation(table.EFFECT, prompt.effect),
        Implementation(table.COST, prompt.cost),
        Implementation(table.COMPARE, prompt.compare),
        Implementation(table.PATCHES, prompt.patches),
        Implementation(table.FEATURES, features.features),
        Implementation(table.FIT_FEATURES, features.fit_features),
        Implementation(table.GUESS, prompt.guess),
        Implementation(table.SAMPLE, prompt.sample),
        Implementation(table.SAVE_TRACE, prompt.save_trace),
        Implementation(table.PROMPT_REPORT, prompt.prompt_report),
        Implementation(table.ONE_STEP, OneStepMethods().one_step),
        Implementation(table.EXPERIMENT, model.experiment),
        Implementation(table.CHAT, ChatMethods(models).chat),
    ]
