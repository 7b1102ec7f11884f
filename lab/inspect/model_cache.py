"""The models that the engine holds, and the traces it has made with them: what makes a cursor move cost no forward pass."""

import os
from collections import Counter, OrderedDict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from lab.core.errors import UserError
from lab.runs.run_folder import Run
from lab.runs.run_locks import hold_inspect_lock
from lab.runs.run_store import open_run
from models.config import ModelConfig
from models.edits import Edit
from models.parameter_count import parameter_count
from models.unembed import Slices, finish, unembed

if TYPE_CHECKING:
    from torch import Tensor

    from models.gpt import GPT
    from models.tokenizers.tokenizer import Tokenizer
    from models.trace import Trace

T = TypeVar("T")

MODELS_HELD = 2
"""Held in any case: enough to compare two."""

WEIGHTS_BUDGET = 16_000_000
"""Weights that more models than that may have together: the snapshots of a small one are gone through without loading again."""

TRACE_BUDGET = 45_000_000
"""Numbers that all traces held may have together, two of 1,024 tokens in GPT-2; the newest is held in any case."""

INSIDE_BUDGET = 16_000_000
"""Numbers of the inside of one layer, beyond which no two traces keep one."""

FAST_BUDGET = 16_000_000
"""Numbers of the fast path that one trace may hold to be compared with; where they are more, it is compared with itself."""

LOGITS_BUDGET = 8_000_000
"""Logits that one trace may hold; of a longer prompt they are made anew for each position looked at."""

ROWS_AT_ONCE = 64
"""Positions whose logits are made at one time: 64 x 50,257 numbers are 13 MB."""

INITIAL_HELD = 16
"""Weights as they were before training that are held: one of GPT-2's matrices takes up to 154 MB, most of them 9 MB."""

BEGUN_HELD = 2
"""Traces that may be half made: a prompt's and, with a change to the model, the same without it."""

ANSWERS_HELD = 64
"""Logit lenses and distributions that a trace keeps for the positions looked at; a distribution of GPT-2's takes 2 MB."""

Identity = tuple[str, int, int, int]
"""Which weights: the checkpoint's path, and its file's inode, size and time of change in nanoseconds."""

TraceKey = tuple[Identity, tuple[int, ...], tuple[Edit, ...]]


@dataclass(eq=False)
class OpenModel:
    run: Run
    checkpoint: str
    step: int
    model: "GPT"
    tokenizer: "Tokenizer"
    identity: Identity
    is_released: bool = False
    """Whether it was to be forgotten: nothing more is computed with it."""

    def refuse_released(self) -> None:
        """Raises: UserError: if it is released."""
        if self.is_released:
            raise UserError(f"{self.run.name} is being renamed or deleted; open it again when that is done.")


@dataclass
class Traced:
    """A trace, and what was found on the way once for all positions."""

    trace: "Trace"
    fast: dict[str, "Tensor"]
    """The model's own tensors by the trace's names, as far as they are held."""
    probabilities: list[float | None]
    """What the model gave each token before it was there; None for the first."""
    logits: "Tensor | None"
    """What the model says after every token, (T, V), if they are few enough to be held."""
    _answers: OrderedDict[tuple[Hashable, int], Any] = field(default_factory=OrderedDict)

    def held(self, what: Hashable, position: int) -> Any:
        """An answer that was held for a position, None if it was not, or has been dropped since."""
        return self._answers.get((what, position))

    def hold(self, what: Hashable, position: int, answer: object) -> None:
        """Keeps an answer; of all, the ANSWERS_HELD latest are kept."""
        self._answers[what, position] = answer
        if len(self._answers) > ANSWERS_HELD:
            self._answers.popitem(last=False)

    def once(self, what: Hashable, position: int, make: Callable[[], T]) -> T:
        """What `make` gives, made once for a position as long as it is held."""
        if (what, position) not in self._answers:
            self.hold(what, position, make())
        answer: T = self._answers[what, position]
        return answer


class ModelCache:
    """Loads models and traces prompts, and keeps the latest of both."""

    def __init__(self) -> None:
        self._models: OrderedDict[tuple[Path, str], OpenModel] = OrderedDict()
        self._traces: OrderedDict[TraceKey, Traced] = OrderedDict()
        self._begun: dict[TraceKey, Slices[Traced]] = {}
        """Traces that are half made, those that were begun first at the front."""
        self._makers: Counter[TraceKey] = Counter()
        """How many requests are at a half-made trace now; the others were given up, and can be gone on with."""
        self._initial: OrderedDict[tuple[Path, str], Tensor] = OrderedDict()
        self._holds: dict[Path, int | None] = {}
        """By run: what keeps others from renaming or deleting it."""

    def model(self, name: str, checkpoint: str, fresh: bool = False) -> OpenModel:
        """The model of a run's checkpoint; with `fresh`, loaded again if the file has changed since. Where there is no best
        checkpoint yet, the last one stands for it.

        Raises:
            UserError: if there is no such run, or its weights cannot be read.
        """
        run = open_run(name)
        held = self._models.get((run.path, checkpoint))
        if held is None or (fresh and _identity(_file(run, checkpoint)) != held.identity):
            outdated, held = held, _load(run, checkpoint)
            self._models[run.path, checkpoint] = held
            if outdated is not None:
                self._forget_traces(outdated.identity)
            if run.path not in self._holds:
                self._holds[run.path] = hold_inspect_lock(run.path)
        self._models.move_to_end((run.path, checkpoint))
        while len(self._models) > MODELS_HELD and self._weights() > WEIGHTS_BUDGET:
            _, gone = self._models.popitem(last=False)
            self._forget_traces(gone.identity)
            self._release_unused()
        return held

    def release(self, path: Path) -> None:
        """Forgets all of a run, so that it can be renamed or deleted."""
        for key in [key for key in self._models if key[0] == path]:
            gone = self._models.pop(key)
            gone.is_released = True
            self._forget_traces(gone.identity)
        for weight in [key for key in self._initial if key[0] == path]:
            del self._initial[weight]
        self._release_unused()

    def _release_unused(self) -> None:
        for path in self._holds.keys() - {path for path, _ in self._models}:
            descriptor = self._holds.pop(path)
            if descriptor is not None:
                os.close(descriptor)

    def _weights(self) -> int:
        return sum(parameter_count(held.model.config) for held in self._models.values())

    def traced(self, model: OpenModel, ids: Sequence[int], edits: Sequence[Edit] = ()) -> Traced:
        """The trace of `ids`, which fit into the context, made once.

        Raises:
            UserError: if an edit cannot be made.
        """
        return finish(self._traced(model, ids, edits, in_turn=False))

    def traced_incrementally(self, model: OpenModel, ids: Sequence[int], edits: Sequence[Edit] = ()) -> Slices[Traced]:
        """The same a layer at a time. Whoever else asks for it meanwhile goes on with what is begun; where as many as are held
        are being made for others, it waits for one of them to be done."""
        return self._traced(model, ids, edits, in_turn=True)

    def _traced(self, model: OpenModel, ids: Sequence[int], edits: Sequence[Edit], *, in_turn: bool) -> Slices[Traced]:
        key = (model.identity, tuple(ids), tuple(edits))
        while in_turn and key not in self._traces and key not in self._begun and len(self._makers) >= BEGUN_HELD:
            model.refuse_released()
            yield
        self._makers[key] += 1
        try:
            while key not in self._traces:
                model.refuse_released()
                if key not in self._begun:
                    self._make_room(model.model.config, len(ids))
                    self._begun[key] = _trace(model.model, ids, edits)
                try:
                    next(self._begun[key])
                except StopIteration as end:
                    del self._begun[key]
                    made: Traced = end.value
                    if model not in self._models.values():
                        return made  # nobody will ask for it again
                    self._traces[key] = made
                except Exception:
                    del self._begun[key]
                    raise
                else:
                    self._forget_given_up()
                    yield
        finally:
            self._makers[key] -= 1
            self._makers += Counter()  # without those that nobody is at
        self._traces.move_to_end(key)
        traced = self._traces[key]
        self._make_room(model.model.config, len(ids), traced)
        self._keep_within(TRACE_BUDGET)
        return traced

    def _forget_given_up(self) -> None:
        """Of the half-made traces that nobody is at, forgets the oldest that are too many."""
        given_up = [key for key in self._begun if key not in self._makers]
        for key in given_up[: max(0, len(self._begun) - BEGUN_HELD)]:
            del self._begun[key]

    def _keep_within(self, budget: int) -> None:
        room = budget - sum(_numbers(each) for each in self._traces.values())
        while room < 0 and len(self._traces) > 1:
            _, gone = self._traces.popitem(last=False)
            room += _numbers(gone)

    def _make_room(self, config: ModelConfig, tokens: int, looked_at: Traced | None = None) -> None:
        """Where a trace is long, what others keep of a layer is let go of, so that memory never holds two."""
        if 20 * tokens * config.width + 3 * config.heads * tokens**2 > INSIDE_BUDGET:
            for each in self._traces.values():
                if each is not looked_at:
                    each.trace.release()
            if looked_at is None:
                self._keep_within(TRACE_BUDGET - _stream_numbers(config, tokens))

    def initial_weight(self, run: Run, name: str) -> "Tensor":
        """A weight as it was before the run's first step: from the snapshot of step 0, else made again from the run's seed."""
        key = (run.path, name)
        if key not in self._initial:
            self._initial[key] = _initial_weight(run, name)
        self._initial.move_to_end(key)
        while len(self._initial) > INITIAL_HELD:
            self._initial.popitem(last=False)
        return self._initial[key]

    def _forget_traces(self, identity: Identity) -> None:
        if all(held.identity != identity for held in self._models.values()):
            for traces in (self._traces, self._begun):
                for key in [key for key in traces if key[0] == identity]:
                    del traces[key]


def _file(run: Run, checkpoint: str) -> Path:
    """Where a checkpoint's weights are; the last one's for a best that is not there yet."""
    if checkpoint.isdecimal():
        return next((file.path for file in run.snapshots() if file.step == int(checkpoint)), run.snapshots_path / checkpoint)
    path = run.path / f"{checkpoint}.safetensors"
    return run.path / "last.safetensors" if checkpoint == "best" and not os.path.lexists(path) else path


def _identity(path: Path) -> Identity:
    try:
        facts = path.lstat()
    except OSError:
        return (str(path), 0, 0, 0)
    return (str(path), facts.st_ino, facts.st_size, facts.st_mtime_ns)


def _load(run: Run, checkpoint: str) -> OpenModel:
    from lab.runs.run_tokenizer import tokenizer_of
    from lab.runs.weights_file import load_model

    path = _file(run, checkpoint)
    identity = _identity(path)  # before reading: a file that is replaced meanwhile counts as newer
    model, step = load_model(run, checkpoint)
    name = str(int(checkpoint)) if checkpoint.isdecimal() else path.stem
    return OpenModel(run, name, step, model.eval(), tokenizer_of(run), identity)


def _initial_weight(run: Run, name: str) -> "Tensor":
    from lab.runs.snapshots import initial_weight
    from models.gpt import GPT

    weight = initial_weight(run, name)
    return GPT(run.config.model, seed=run.config.train.seed).get_parameter(name).detach() if weight is None else weight


def _trace(model: "GPT", ids: Sequence[int], edits: Sequence[Edit]) -> Slices[Traced]:
    from models.trace import Trace

    try:
        trace = yield from Trace.incremental(model, ids, edits)
    except ValueError as error:
        raise UserError(f"This cannot be traced: {error}") from error
    fast = {} if edits else _fast(model, ids)
    yield
    probabilities, logits = yield from _after_each(model, trace)
    return Traced(trace, fast, probabilities, logits)


def _fast(model: "GPT", ids: Sequence[int]) -> dict[str, "Tensor"]:
    """The fast path's tensors: all but the logits if they are few enough, else what the logits come from."""
    from models.parity_trace import fast_tensors
    from models.trace import LAYER_NAMES

    names = ["ln_final.out"]
    if model.config.layers * _layer_numbers(model.config, len(ids)) <= FAST_BUDGET:
        names += ["embed", *(f"blocks.{layer}.{name}" for layer in range(model.config.layers) for name in LAYER_NAMES)]
    return fast_tensors(model, ids, names)


def _after_each(model: "GPT", trace: "Trace") -> Slices[tuple[list[float | None], "Tensor | None"]]:
    """What each token was given by the model before it was there, and the logits after each where they are to be held."""
    import torch

    ids = trace.ids
    probabilities: list[float | None] = [None]
    holds = len(ids) * model.config.vocab_size <= LOGITS_BUDGET
    held: list[Tensor] = []
    for start in range(0, len(ids), ROWS_AT_ONCE):
        rows = range(start, min(start + ROWS_AT_ONCE, len(ids)))
        logits = yield from unembed(model, trace["ln_final.out"][rows.start : rows.stop])  # (rows, V)
        if not bool(torch.isfinite(logits).all()):
            raise UserError(
                "These weights give logits that are not numbers, so there is nothing to look at: the training diverged."
            )
        following = torch.tensor(ids[start + 1 : rows.stop + 1])[:, None]
        given = logits[: len(following)].gather(1, following)[:, 0] - logits[: len(following)].logsumexp(-1)
        probabilities += given.double().exp().tolist()
        if holds:
            held.append(logits)
    return probabilities, torch.cat(held) if holds else None


def _layer_numbers(config: ModelConfig, tokens: int) -> int:
    """How many numbers the fast path holds of a layer: 10 vectors of the width, 2 of four times it."""
    return tokens * config.width * 18


def _stream_numbers(config: ModelConfig, tokens: int) -> int:
    return (2 * config.layers + 3) * tokens * config.width


def _numbers(traced: Traced) -> int:
    """About how many numbers a trace keeps beside the inside of one layer: the streams, and what it is compared with."""
    config, tokens = traced.trace.config, len(traced.trace.ids)
    streams = _stream_numbers(config, tokens)
    logits = 0 if traced.logits is None else traced.logits.numel()
    return streams + logits + sum(each.numel() for each in traced.fast.values())
