"""The engine's methods: for each its name, the struct of its parameters and the type of its result. Nothing here needs torch.

Client, server and tests take their types from here. To add a method, add its parameters and its entry here, and its
implementation to `lab.engine.method_bindings`.
"""

from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

import msgspec

from lab.experiments.experiment_result import ExperimentResult
from lab.inspect.intervention_effect import Cost, Effect
from lab.inspect.interventions import Interventions
from lab.inspect.stages.stage_context import LensName
from lab.inspect.trace_export import PromptReport
from lab.training.one_step.step_stages import StepAnswer
from lab.views.blocks import GuessQuestion, LensPath, ModelFacts, SavedTrace, Token, View
from lab.views.number_explanation import Explanation
from models.chat import Author, Turn
from models.config import SamplingSettings
from models.trace_edits import Edit

P = TypeVar("P")
R = TypeVar("R")


@dataclass(frozen=True)
class EngineMethod(Generic[P, R]):
    name: str
    params: type[P]
    result: type[R]
    is_job: bool = False
    """It may take seconds, and its checks let in the requests that wait."""


CheckpointName = str
""""best", "last", or the step of a snapshot in decimal digits."""


class OpenParams(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A checkpoint of a run. `open` reads it again where its file is newer than the one held."""

    run: str
    """A run's name or path."""
    checkpoint: CheckpointName = "best"


class ReleaseParams(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A run to close, so that it can be renamed or deleted."""

    path: str
    """The run's folder."""


class PromptParams(OpenParams, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A model and a prompt. `ids` override `text`: sampled tokens must not be tokenized again.

    `earlier` is the number of tokens of the prompt before `ids` that no longer fit the context; they count for the position that
    is sampled, and so for its random number. `edits` and, after them, `interventions` are made inside the forward pass; their
    positions count within the window.
    """

    text: str = ""
    ids: tuple[int, ...] | None = None
    earlier: int = 0
    edits: tuple[Edit, ...] = ()
    interventions: Interventions = ()


class LensParams(PromptParams, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A position of the prompt. It counts within the window; None or one past the end means the last token."""

    position: int | None = None
    sampling: SamplingSettings = SamplingSettings()


class ViewParams(LensParams, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A stage of the forward pass. `layer` and `head` are 0-based; `width_hint` is the width on screen in columns."""

    stage: str
    layer: int = 0
    head: int = 0
    width_hint: int | None = None
    lens: LensName = "logit"
    """Lens of the stage `lens`."""


class ExplainParams(ViewParams, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A number to explain: `ref` names it, indices included."""

    ref: str


class EvidenceParams(ViewParams, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A token to look up in the training text; None is the most probable one."""

    candidate: int | None = None


class AttributionParams(EvidenceParams, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A token for direct logit attribution, `against` another one if given. `by_size` sorts by contribution."""

    against: int | None = None
    by_size: bool = True


class GuessParams(ViewParams, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A question for the learner about a position: the most probable next token, or the token that a head attends to most."""

    stage: str = "guess"
    about: Literal["next token", "attention"] = "next token"


class CompareParams(ViewParams, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A second prompt, which is taken without interventions, beside the first with them.

    Positions are aligned from the end: the second's position is as far from its last token as the first's.
    """

    stage: str = "compare"
    second_text: str = ""
    second_ids: tuple[int, ...] | None = None


class PatchesParams(CompareParams, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Every patch from the second prompt into the first, both without interventions, and the two tokens whose logits' difference
    shows what it does; None are the predictions of the two prompts."""

    stage: str = "patches"
    candidate: int | None = None
    against: int | None = None


class FeaturesParams(ViewParams, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The features of the token at the position after the layer, or if none were fitted there, after another; or the card of the
    one that `ref` names."""

    stage: str = "features"
    ref: str = ""


class SampleParams(PromptParams, frozen=True, kw_only=True, forbid_unknown_fields=True):
    sampling: SamplingSettings = SamplingSettings()


class SaveTraceParams(PromptParams, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A file for the trace. `path` is absolute, its folder exists; the engine writes it, so that nothing large is sent."""

    path: str
    kind: Literal["npz", "json"]


class ExperimentParams(LensParams, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An experiment on a model and, where it needs one, a prompt. `layer` and `head` are 0-based."""

    name: str
    """Its name in `lab.experiments.experiment_registry.EXPERIMENTS`."""
    layer: int = 0
    head: int = 0
    inputs: dict[str, str] = {}
    """What was typed for it, by name."""
    width_hint: int = 0


class OneStepParams(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A stage of a training step. Stateless as the other requests are: an engine that was just started takes the steps anew."""

    run: str
    """A run's name or path."""
    opened: int = 0
    """Number of times the checkpoint was asked to be read again; a run that trains on changes nothing until then."""
    text: str | None = None
    """The sentence to learn from; None: a batch of the run's own data."""
    batch_offset: int = 0
    """The run's batch: 0 is the next that its trainer would take, 1 the one after; below 0 those before."""
    applied: int = 0
    """Number of steps taken on this batch or sentence."""
    window: int = 0
    """Window of the batch, 0-based."""
    position: int | None = None
    """Token of the window: 1 is the first that is predicted. None: the one of the highest loss."""
    stage: str = "batch"
    weight: str = ""
    """Weight of the stage `weight`, such as `wte.weight[3,5]`; "": the one that changes most."""


class ChatParams(OpenParams, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A conversation, whose last turn is answered with at most `tokens` more tokens: 0 for the document as it is."""

    system: str | None = None
    """None: that of the run's first prompt."""
    turns: tuple[Turn, ...] = ()
    stops: tuple[str, ...] | None = None
    """Texts that an answer ends at; None: the template's own."""
    sampling: SamplingSettings = SamplingSettings()
    most: int = 100
    """Most tokens of an answer."""
    tokens: int = 0


class ChatAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A conversation, and the document that the model sees of it."""

    about: str
    """A sentence on how it is written."""
    is_tuned: bool
    """The run was tuned to answer."""
    system: str
    stops: tuple[str, ...]
    turns: tuple[Turn, ...]
    texts: list[str]
    """The answer of each turn in words."""
    ids: tuple[int, ...]
    """Tokens of the document; `labels` and `authors` are theirs."""
    labels: list[str]
    authors: list[Author]
    left_out: int
    """Number of turns, the first ones, that have no room in the context."""
    context: int
    step: int


OPEN = EngineMethod("open", OpenParams, ModelFacts)
RELEASE = EngineMethod("release", ReleaseParams, bool)
LENS = EngineMethod("lens", LensParams, LensPath)
VIEW = EngineMethod("view", ViewParams, View, is_job=True)
CODE = EngineMethod("code", ViewParams, View)
EXPLAIN = EngineMethod("explain", ExplainParams, Explanation)
ATTRIBUTION = EngineMethod("attribution", AttributionParams, View)
EVIDENCE = EngineMethod("evidence", EvidenceParams, View, is_job=True)
EFFECT = EngineMethod("effect", LensParams, Effect)
COST = EngineMethod("cost", LensParams, Cost, is_job=True)
COMPARE = EngineMethod("compare", CompareParams, View)
PATCHES = EngineMethod("patches", PatchesParams, View, is_job=True)
FEATURES = EngineMethod("features", FeaturesParams, View, is_job=True)
FIT_FEATURES = EngineMethod("fit_features", FeaturesParams, bool, is_job=True)
GUESS = EngineMethod("guess", GuessParams, GuessQuestion)
SAMPLE = EngineMethod("sample", SampleParams, Token)
SAVE_TRACE = EngineMethod("save_trace", SaveTraceParams, SavedTrace, is_job=True)
PROMPT_REPORT = EngineMethod("prompt_report", PromptParams, PromptReport, is_job=True)
ONE_STEP = EngineMethod("one_step", OneStepParams, StepAnswer, is_job=True)
EXPERIMENT = EngineMethod("experiment", ExperimentParams, ExperimentResult, is_job=True)
CHAT = EngineMethod("chat", ChatParams, ChatAnswer, is_job=True)
