"""The lab from Python, in seven functions; the names that they return stay, as those of the command line do.

    from lab.api import generate, merges, open_model, open_run, trace, train, view

    run = train("notes.txt", name="first", steps=500)     # the settings of `llmlab train`, with _ for -
    model = open_model("first")                           # or open_model("demo"), or of a checkpoint: "last", "500"
    print(generate(model, "The big dog", tokens=50, temperature=0.8, seed=7))
    pattern = trace(model, "The big dog")["blocks.0.attn.pattern"]     # a tensor; names() lists them all
    view(model, "The big dog", "matrix", layer=2)         # a page of Inspect, as a notebook shows it; merges(text) is BPE's
    losses = [(each.step, each.val_loss) for each in open_run("first").metrics().read()]

Mistakes raise `lab.core.errors.UserError`, with a sentence. Imports `models`, `lab.core`, `lab.views`, `lab.runs`,
`lab.tokenization`, `lab.planning`, `lab.training` and `lab.inspect`.
"""

import sys
import time
import warnings
from collections import Counter
from typing import TYPE_CHECKING, Any, TypeVar

from models.installation import NOT_ON_WINDOWS

if sys.platform == "win32":  # before what it has not, such as fcntl, is imported
    raise ImportError(NOT_ON_WINDOWS)

import msgspec

from lab.core.errors import UserError
from lab.core.limits import WRITTEN_TOKENS
from lab.inspect.model_cache import OpenModel, load_open_model
from lab.inspect.stages.stage_registry import prompt_view
from lab.planning.prepare_run import prepare_run
from lab.planning.settings_table import RunRequest
from lab.runs.find_runs import open_run
from lab.runs.rename_delete import refuse_if_gone
from lab.runs.run_folder import ACTIVE, Run
from lab.training.start_trainer import start_trainer
from lab.views.written_view import Shown
from models.config import SamplingSettings

if TYPE_CHECKING:
    from models.trace import Trace

T = TypeVar("T")

__all__ = ["generate", "merges", "open_model", "open_run", "trace", "train", "view"]


def train(text: str, **settings: Any) -> Run:
    """Train a new run on a text's path, or a built-in text, in a process of its own; return the run when it has ended.

    Raises:
        UserError: if it cannot be made or started, fails, or is renamed or deleted meanwhile. Ctrl-C ends the waiting alone.
    """
    run = prepare_run(_checked(RunRequest, {"text": text, **settings}))
    start_trainer(run)
    while (phase := run.phase()) in (*ACTIVE, "not answering"):
        time.sleep(0.2)
    refuse_if_gone(run, in_training=True)
    if phase not in ("finished", "stopped"):
        raise UserError(f"{run.name} {phase} at step {run.status().step}: {run.status().message}")
    return run


def open_model(run: str | Run, checkpoint: str | int = "best") -> OpenModel:
    """Model and tokenizer of a run, by its name, its path, or as `open_run` and `train` return it. Raises UserError.

    Warns where other weights stand in for missing ones; `checkpoint` and `step` of what is returned are of those.
    """
    opened = load_open_model(run if isinstance(run, Run) else open_run(run), str(checkpoint))
    if opened.note:
        warnings.warn(opened.note, stacklevel=2)
    return opened


def generate(opened: OpenModel, prompt: str, tokens: int = 200, **sampling: Any) -> str:
    """The prompt and the text that follows. `sampling`: temperature, top_k, top_p, min_p, repetition_penalty, seed, greedy.

    Raises:
        UserError: if a value cannot be, or the prompt is empty.
    """
    from models.sampling import generate

    settings = _checked(SamplingSettings, sampling)
    problem = WRITTEN_TOKENS.problem(tokens) if type(tokens) is int else "be a whole number"
    if problem:
        raise UserError(f"tokens must {problem}, not {tokens!r}.")
    ids = _encoded(opened, prompt)
    drawn = generate(opened.model, ids, tokens, settings)
    return prompt + opened.tokenizer.decode([token.id for token in drawn])


def trace(opened: OpenModel, prompt: str) -> "Trace":
    """Every intermediate of the forward pass of a prompt, or of its end where it is longer than the context. Raises UserError."""
    from models.trace import Trace

    ids = _encoded(opened, prompt)
    return Trace(opened.model, ids[-opened.model.config.context :])


def view(
    opened: OpenModel, prompt: str, stage: str = "logits", *, layer: int = 1, head: int = 1, token: int | None = None
) -> Shown:
    """A page of Inspect for a prompt, as a notebook shows it: "logits" is the prediction, "matrix" a head's attention, "lens" the
    logit lens. Layers, heads and tokens count from 1; the token is the last by default. Raises UserError."""
    return Shown(prompt_view(opened, _encoded(opened, prompt), stage, layer, head, token))


def merges(text: str, count: int = 10, phrase: str = "") -> Shown:
    """BPE as it is learned on a text: its first merges, and the phrase, by default the text's beginning, in pieces."""
    from lab.tokenization.bpe_session import BpeSession, merges_view
    from lab.tokenization.learnable_text import LearnableText, words_of

    words = Counter(words_of(text))
    session = BpeSession(LearnableText("the text", words, text[:1000]))
    session.move(count)
    return Shown(merges_view(session.state, phrase or text[:100]))


def _encoded(opened: OpenModel, prompt: str) -> list[int]:
    if not isinstance(opened, OpenModel):
        raise UserError(f"A model is what `open_model` returns, not {opened!r}.")
    if not isinstance(prompt, str):
        raise UserError(f"A prompt is text, not {prompt!r}.")
    if not (ids := opened.tokenizer.encode(prompt)):
        raise UserError("The prompt is empty: a model predicts from at least one token.")
    return ids


def _checked(kind: type[T], settings: dict[str, Any]) -> T:
    """The settings as this type, with its types and bounds. Raises UserError."""
    if unknown := sorted(settings.keys() - kind.__annotations__.keys()):
        raise UserError(f"There is no setting {unknown[0]!r}; there are {', '.join(kind.__annotations__)}.")
    try:
        return msgspec.convert(settings, kind, dec_hook=lambda kind, value: kind(value))
    except msgspec.ValidationError as error:
        raise UserError(f"A setting cannot be: {str(error).removesuffix('.')}.") from error
