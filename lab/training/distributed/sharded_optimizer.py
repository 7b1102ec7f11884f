"""Optimizer state sharded over the ranks (Rajbhandari et al. 2020, "ZeRO", stage 1), and gathered for a checkpoint.

PyTorch's ZeroRedundancyOptimizer gives each rank whole weights to update, and sends them to the others; so Muon, which needs a
matrix as a whole, is sharded like AdamW. State is sent here as plain tensors: PyTorch's own way to gather it pickles.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import msgspec
import torch
from torch import Tensor, nn
from torch.distributed.optim import ZeroRedundancyOptimizer
from torch.optim import Optimizer

from lab.core.machine import memory
from lab.planning.device import training_memory
from lab.runs.run_schema import RunConfig
from lab.training.acceleration.prepare_steps import MARGIN
from lab.training.distributed.rank_environment import RankEnvironment
from lab.training.distributed.rank_group import RankGroup
from lab.training.distributed.tensor_facts import TensorFacts, facts_of


def is_sharded(config: RunConfig, environment: RankEnvironment, device: torch.device) -> bool:
    """True if the run asks for it, or if memory does not suffice, with a margin, for all state and a window on every rank."""
    train = config.train
    if train.shard_optimizer != "auto":
        return train.shard_optimizer == "on"
    needed = training_memory(config.model, 1)  # a batch that is too large is split
    if device.type == "cuda":
        return needed > (1 - MARGIN) * torch.cuda.get_device_properties(device).total_memory
    return needed * environment.local_count > (1 - MARGIN) * memory()


class ShardedOptimizer(ZeroRedundancyOptimizer):
    """AdamW or Muon, with each rank's state for some of the weights only; see `lab.training.checkpoint.ShardedState`."""

    def __init__(
        self,
        optimizer: Optimizer,
        model: nn.Module,
        group: RankGroup,
        announce: Callable[[], None] = lambda: None,
        together: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        """Shard an optimizer that has no state yet. Rank 0 calls `announce` before it gathers, so that all take part.

        `together` gives the context of what needs the others.
        """
        settings = {name: optimizer.defaults[name] for name in ("lr", "betas", "fused")}
        super().__init__([dict(part) for part in optimizer.param_groups], type(optimizer), **settings)
        self._model, self._group, self._announce, self._together = model, group, announce, together
        self._loaded: dict[str, Tensor] = {}

    def gather_tensors(self) -> dict[str, Tensor]:
        """The state of all weights, in main memory, on rank 0; empty on the others. All ranks call this together."""
        self._announce()
        with self._together():
            return self._gather()

    def step(self, *arguments: Any, **named: Any) -> Any:
        """Update this rank's part of the weights, and exchange the parts. All ranks call this together."""
        with self._together():
            loss = super().step(*arguments, **named)
            self._group.synchronize()
        return loss

    def _gather(self) -> dict[str, Tensor]:
        own = {
            f"{key}.{name}": value
            for name, weight in self._model.named_parameters()
            for key, value in self.optim.state.get(weight, {}).items()
        }
        environment = self._group.environment
        gathered = {name: value.cpu() for name, value in own.items()} if environment.rank == 0 else {}
        for source in range(1, environment.count):
            sends = environment.rank == source
            header = self._group.send_json(facts_of(own) if sends else None, source)
            for facts in msgspec.json.decode(header, type=list[TensorFacts]):
                sent = self._group.send_tensor(own[facts.name] if sends else facts.empty(self._group.device), source)
                if environment.rank == 0:
                    gathered[facts.name] = sent.cpu()
        return gathered

    def is_own(self, name: str) -> bool:
        """True if this rank has the state of that name, such as `exp_avg.h.0.attn.c_attn.weight`."""
        weight = self._model.get_parameter(name.partition(".")[2])
        return any(weight is each for part in self.optim.param_groups for each in part["params"])

    def load_tensors(self, tensors: dict[str, Tensor]) -> None:
        """Load this rank's part of the state. Raises KeyError or ValueError if the tensors are those of another model."""
        weights = dict(self._model.named_parameters())
        fused = {weight: part["fused"] for part in self.optim.param_groups for weight in part["params"]}
        is_first = self._group.environment.rank == 0
        self.optim.state.clear()
        for name, value in tensors.items():
            key, _, weight_name = name.partition(".")
            weight = weights[weight_name]
            if value.dim() and value.shape != weight.shape:
                raise ValueError(f"{name} has the shape {tuple(value.shape)}, unlike its weight.")
            if weight in fused:
                device = weight.device if value.dim() or fused[weight] else torch.device("cpu")
                self.optim.state[weight][key] = value.to(device, copy=is_first)  # rank 0 still sends those that are given
        self._loaded = tensors if is_first else {}

    def take_loaded(self) -> dict[str, Tensor]:
        """The state of all weights that was loaded last, for the other ranks; it is not kept."""
        loaded, self._loaded = self._loaded, {}
        return loaded
