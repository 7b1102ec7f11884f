"""The models that the engine has open, with their traces and initial weights."""

import os
from collections import OrderedDict
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from lab.inspect.open_model import OpenModel, load_open_model, weights_identity
from lab.inspect.trace_cache import TraceCache
from lab.runs.find_runs import find_run
from lab.runs.run_control import hold_inspect_lock
from lab.runs.run_folder import Run, weights_path
from models.parameter_count import parameter_count

if TYPE_CHECKING:
    from torch import Tensor

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
