"""The models that the engine has open, each with its tokenizer, its traces and its initial weights.

Traces are those of the latest prompts, with results computed from them, so that a cursor move costs no forward pass.
"""

import os
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from lab.core.errors import UserError
from lab.core.machine import available_memory
from lab.runs.find_runs import find_run
from lab.runs.run_control import hold_inspect_lock
from lab.runs.run_folder import Run, stand_in_sentence, tokenizer_of, weights_name, weights_path
from models.check import check
from models.config import ModelConfig
from models.parameter_count import parameter_count
from models.trace_edits import Edit
from models.unembed import unembed

if TYPE_CHECKING:
    from torch import Tensor

    from lab.inspect.fitted_lenses import FittedLenses
    from models.gpt import GPT
    from models.sparse_autoencoder import SparseAutoencoder
    from models.tokenizers.tokenizer import Tokenizer
    from models.trace import Trace

Identity = tuple[str, int, int, int]
"""Identity of the weights: the checkpoint's path, and its file's inode, size and time of change in nanoseconds."""


@dataclass(eq=False)
class OpenModel:
    run: Run
    checkpoint: str
    step: int
    model: "GPT"
    tokenizer: "Tokenizer"
    identity: Identity
    note: str = ""
    """A sentence where these are other weights than were asked for, with the reason."""
    state: Literal["cached", "evicted", "released"] = "cached"
    """Nothing more is computed with a released one; work begun with an evicted one is finished, but not cached."""
    lenses: "FittedLenses | None" = None
    """Once they were asked for."""
    features: "dict[int, SparseAutoencoder]" = field(default_factory=dict)
    """Once they were asked for, by the layer, 0-based."""
    directions: "dict[Hashable, tuple[Tensor, float]]" = field(default_factory=dict)
    """Directions of the stream that were asked for, each with the stream's mean length there."""

    def refuse_released(self) -> None:
        """Raises: UserError: if it is released."""
        if self.state == "released":
            raise UserError(f"{self.run.name} is being renamed or deleted; open it again when that is done.")


def load_open_model(run: Run, checkpoint: str) -> OpenModel:
    """Load weights and tokenizer. Raises: UserError: if they cannot be read."""
    from lab.runs.weights_file import load_model

    path, note = weights_path(run, checkpoint), stand_in_sentence(run, checkpoint)
    identity = weights_identity(path)  # before reading: a file that is replaced meanwhile counts as newer
    model, step = load_model(run, checkpoint)
    return OpenModel(run, weights_name(path), step, model.eval(), tokenizer_of(run), identity, note)


def weights_identity(path: Path) -> Identity:
    try:
        facts = path.lstat()
    except OSError:
        return (str(path), 0, 0, 0)
    return (str(path), facts.st_ino, facts.st_size, facts.st_mtime_ns)


T = TypeVar("T")

TRACE_BUDGET = 45_000_000
"""Numbers that all cached traces may have together, two of 1,024 tokens in GPT-2; the newest is cached in any case."""

LAYER_BUDGET = 16_000_000
"""Numbers of one layer, beyond which at most one trace keeps layers."""

SHARE_OF_MEMORY = 0.1
"""Share of the available memory that two layers may take: then a trace keeps both, and a step back to the layer before costs
nothing. Two of 1,024 tokens in GPT-2 take 430 MB."""

FAST_PATH_BUDGET = 16_000_000
"""Numbers of the fast path that one trace may keep for parity; beyond, it is compared with itself."""

LOGITS_BUDGET = 8_000_000
"""Logits that one trace may keep; those of a longer prompt are computed for each position that is asked for."""

ROWS_AT_ONCE = 64
"""Positions whose logits are computed at one time: 64 x 50,257 numbers are 13 MB."""

UNFINISHED_TRACES = 2
"""Traces that were given up and can be resumed: a prompt's and, with interventions, the same without them."""

RESULTS_CACHED = 64
"""Logit lenses and distributions cached per trace; a distribution of GPT-2's takes 2 MB."""

NOT_FINITE = "The logits of these weights are NaN or inf: the training diverged, so there is nothing to show."
CHANGED_NOT_FINITE = "With these interventions the logits are NaN or inf, so there is nothing to show; X undoes them."

TraceKey = tuple[Identity, tuple[int, ...], tuple[Edit, ...]]


@dataclass
class CachedTrace:
    """A trace, and results computed from it."""

    trace: "Trace"
    fast: dict[str, "Tensor"]
    """The fast path's tensors by the trace's names, as far as they are cached."""
    probabilities: list[float | None]
    """Probability of each token given those before it; None for the first."""
    logits: "Tensor | None"
    """(T, V), if they are few enough to be cached."""
    _results: OrderedDict[tuple[Hashable, int], Any] = field(default_factory=OrderedDict)

    def get(self, name: Hashable, position: int) -> Any:
        """The result cached for a position, else None."""
        return self._results.get((name, position))

    def put(self, name: Hashable, position: int, result: object) -> None:
        """Cache a result; the RESULTS_CACHED latest are kept."""
        self._results[name, position] = result
        if len(self._results) > RESULTS_CACHED:
            self._results.popitem(last=False)

    def get_or_compute(self, name: Hashable, position: int, compute: Callable[[], T]) -> T:
        if (name, position) not in self._results:
            self.put(name, position, compute())
        result: T = self._results[name, position]
        return result

    @cached_property
    def size(self) -> int:
        """About how many numbers it keeps, the insides of layers apart: residual streams, logits, fast path."""
        streams = _stream_size(self.trace.config, len(self.trace.ids))
        logits = 0 if self.logits is None else self.logits.numel()
        return streams + logits + sum(each.numel() for each in self.fast.values())


class UnfinishedTrace:
    """A trace as far as it is computed. Each part is kept as soon as it is made: whoever is let in by a check in between may ask
    for the same trace and finish it, and one that was given up is resumed where it stopped."""

    def __init__(self, model: "GPT", ids: Sequence[int], edits: Sequence[Edit]) -> None:
        from models.trace import Trace

        try:
            self._trace = Trace(model, ids, edits, at_once=False)
        except ValueError as error:
            raise UserError(f"This cannot be traced: {error}") from error
        if 2 * 4 * _layer_size(model.config, len(ids)) <= SHARE_OF_MEMORY * available_memory():
            self._trace.kept_layers = 2
        self._model = model
        self._fast: dict[str, Tensor] | None = None
        self._probabilities: list[float | None] = [None]
        self._logits: list[Tensor] = []
        self._rows = 0
        """Positions whose logits were computed."""

    def finish(self, refuse: Callable[[], None]) -> CachedTrace:
        """Compute what is missing. `refuse` is called now and then, and raises where nobody may compute it any more.

        Raises:
            UserError: where a logit is NaN or inf.
        """
        import torch

        while self._trace.advance():
            check()
            refuse()
        ids, edits = self._trace.ids, self._trace.edits
        if self._fast is None:
            self._fast = {} if edits else _fast_path(self._model, ids)
        keeps = len(ids) * self._model.config.vocab_size <= LOGITS_BUDGET
        while (start := self._rows) < len(ids):
            rows = range(start, min(start + ROWS_AT_ONCE, len(ids)))
            logits = unembed(self._model, self._trace["ln_final.out"][rows.start : rows.stop])  # (rows, V)
            refuse()
            if self._rows > start:
                continue  # they were computed for another request meanwhile
            if not bool(torch.isfinite(logits).all()):
                raise UserError(CHANGED_NOT_FINITE if edits else NOT_FINITE)
            following = torch.tensor(ids[start + 1 : rows.stop + 1])[:, None]
            given = logits[: len(following)].gather(1, following)[:, 0] - logits[: len(following)].logsumexp(-1)
            self._probabilities += given.double().exp().tolist()
            if keeps:
                self._logits.append(logits)
            self._rows = rows.stop
        return CachedTrace(self._trace, self._fast, self._probabilities, torch.cat(self._logits) if keeps else None)


class TraceCache:
    """Traces by weights, token ids and edits; the oldest are evicted."""

    def __init__(self) -> None:
        self._traces: OrderedDict[TraceKey, CachedTrace] = OrderedDict()
        self._unfinished: OrderedDict[TraceKey, UnfinishedTrace] = OrderedDict()

    def trace(self, model: OpenModel, ids: Sequence[int], edits: Sequence[Edit] = ()) -> CachedTrace:
        """The trace of `ids`, which fit into the context. Raises: UserError: if an edit cannot be made."""
        key = (model.identity, tuple(ids), tuple(edits))
        model.refuse_released()
        if key not in self._traces:
            computed = self._compute(key, model, ids, edits)
            if model.state != "cached":
                return computed  # nobody will ask for it again
            self._traces.setdefault(key, computed)
        self._traces.move_to_end(key)
        traced = self._traces[key]
        self._make_room(model.model.config, len(ids), traced)
        self._evict_beyond(TRACE_BUDGET)
        return traced

    def _compute(self, key: TraceKey, model: OpenModel, ids: Sequence[int], edits: Sequence[Edit]) -> CachedTrace:
        if key not in self._unfinished:
            self._make_room(model.model.config, len(ids))
            self._unfinished[key] = UnfinishedTrace(model.model, ids, edits)
            if len(self._unfinished) > UNFINISHED_TRACES:
                self._unfinished.popitem(last=False)
        try:
            computed = self._unfinished[key].finish(model.refuse_released)
        except Exception:
            self._unfinished.pop(key, None)
            raise
        self._unfinished.pop(key, None)
        return computed

    def forget(self, identity: Identity) -> None:
        """Forget all traces of these weights."""
        for traces in (self._traces, self._unfinished):
            for key in [key for key in traces if key[0] == identity]:
                del traces[key]

    def _evict_beyond(self, budget: int) -> None:
        room = budget - sum(each.size for each in self._traces.values())
        while room < 0 and len(self._traces) > 1:
            _, evicted = self._traces.popitem(last=False)
            room += evicted.size

    def _make_room(self, config: ModelConfig, tokens: int, current: CachedTrace | None = None) -> None:
        """For a long trace, release the layers that the others keep, so that memory never holds those of two traces."""
        if _layer_size(config, tokens) > LAYER_BUDGET:
            for each in self._traces.values():
                if each is not current:
                    each.trace.release()
            if current is None:
                self._evict_beyond(TRACE_BUDGET - _stream_size(config, tokens))


def _fast_path(model: "GPT", ids: Sequence[int]) -> dict[str, "Tensor"]:
    """The fast path's tensors: all but the logits if they fit FAST_PATH_BUDGET, else the input of the output head."""
    from models.trace import LAYER_NAMES, fast_tensors

    names = ["ln_final.out"]
    layer_size = len(ids) * model.config.width * 18  # 10 vectors of the width, 2 of four times it
    if model.config.layers * layer_size <= FAST_PATH_BUDGET:
        names += ["embed", *(f"blocks.{layer}.{name}" for layer in range(model.config.layers) for name in LAYER_NAMES)]
    return fast_tensors(model, ids, names)


def _layer_size(config: ModelConfig, tokens: int) -> int:
    """About how many numbers are inside a layer."""
    return 20 * tokens * config.width + 3 * config.heads * tokens**2


def _stream_size(config: ModelConfig, tokens: int) -> int:
    return (2 * config.layers + 3) * tokens * config.width


MODELS_CACHED = 2
"""Cached in any case: enough to compare two."""

WEIGHTS_BUDGET = 16_000_000
"""Weights that more models than that may have together: stepping through the snapshots of a small one loads none again."""

INITIAL_WEIGHTS_CACHED = 16
"""One of GPT-2's matrices takes up to 154 MB, most of them 9 MB."""


class ModelCache:
    """Loads models and keeps the latest, each with its traces."""

    def __init__(self) -> None:
        self.traces = TraceCache()
        self._models: OrderedDict[tuple[Path, str], OpenModel] = OrderedDict()
        self._initial_weights: OrderedDict[tuple[Path, str], Tensor] = OrderedDict()
        self._locks: dict[Path, int | None] = {}
        """By run: the lock that keeps others from renaming or deleting it."""

    def model(self, name: str, checkpoint: str, fresh: bool = False) -> OpenModel:
        """The model of a run's checkpoint; with `fresh`, loaded again if its file has changed.

        Raises:
            UserError: if there is no such run, or its weights cannot be read.
        """
        run = find_run(name)
        cached = self._models.get((run.path, checkpoint))
        if cached is None or (fresh and weights_identity(weights_path(run, checkpoint)) != cached.identity):
            outdated, cached = cached, load_open_model(run, checkpoint)
            self._models[run.path, checkpoint] = cached
            if outdated is not None:
                self._forget(outdated, "evicted")
            if run.path not in self._locks:
                self._locks[run.path] = hold_inspect_lock(run.path)
        self._models.move_to_end((run.path, checkpoint))
        weights = sum(parameter_count(each.model.config) for each in self._models.values())
        while len(self._models) > MODELS_CACHED and weights > WEIGHTS_BUDGET:
            _, oldest = self._models.popitem(last=False)
            weights -= parameter_count(oldest.model.config)
            self._forget(oldest, "evicted")
            self._release_locks()
        return cached

    def release(self, path: Path) -> None:
        """Forget all of a run, so that it can be renamed or deleted."""
        for key in [key for key in self._models if key[0] == path]:
            self._forget(self._models.pop(key), "released")
        for weight in [key for key in self._initial_weights if key[0] == path]:
            del self._initial_weights[weight]
        self._release_locks()

    def initial_weight(self, run: Run, name: str) -> "Tensor":
        """A weight before the run's first step: from the snapshot of step 0, else initialized again from the run's seed."""
        key = (run.path, name)
        if key not in self._initial_weights:
            from lab.runs.weights_file import initial_weight
            from models.gpt import GPT

            weight = initial_weight(run, name)
            if weight is None:
                weight = GPT(run.config.model, seed=run.config.train.seed).get_parameter(name).detach()
            self._initial_weights[key] = weight
        self._initial_weights.move_to_end(key)
        while len(self._initial_weights) > INITIAL_WEIGHTS_CACHED:
            self._initial_weights.popitem(last=False)
        return self._initial_weights[key]

    def _forget(self, gone: OpenModel, state: Literal["evicted", "released"]) -> None:
        """Forget the traces of a model that is no longer cached, unless another one has the same weights."""
        gone.state = state
        if all(cached.identity != gone.identity for cached in self._models.values()):
            self.traces.forget(gone.identity)

    def _release_locks(self) -> None:
        for path in self._locks.keys() - {path for path, _ in self._models}:
            descriptor = self._locks.pop(path)
            if descriptor is not None:
                os.close(descriptor)
