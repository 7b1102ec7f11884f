"""State on several ranks: sent from rank 0, which alone reads checkpoints; optimizer state sharded, and gathered to be saved.

Sharding is that of ZeRO, stage 1 (Rajbhandari et al. 2020). PyTorch's ZeroRedundancyOptimizer gives each rank whole weights to
update, and sends them to the others; so Muon, which needs a matrix as a whole, is sharded like AdamW. State is sent here as plain
tensors: PyTorch's own way to gather it pickles.
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
from lab.runs.weights_file import MODEL_PREFIX, OPTIMIZER_PREFIX, tensors_under
from lab.training.checkpoint import load_optimizer, named_tensors, optimizer_tensors
from lab.training.distributed.launcher import RankEnvironment
from lab.training.distributed.rank_group import RankGroup, TensorFacts, facts_of
from lab.training.gradient_accumulation import MARGIN
from lab.training.trainer_state import TrainerState
from models.gpt import GPT


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
        own, gathered, environment = optimizer_tensors(self._model, self.optim), {}, self._group.environment
        with self._together():
            if environment.rank == 0:
                gathered = {name: value.cpu() for name, value in own.items()}
            for source in range(1, environment.count):
                sends = environment.rank == source
                header = self._group.send_json(facts_of(own) if sends else None, source)
                for facts in msgspec.json.decode(header, type=list[TensorFacts]):
                    sent = self._group.send_tensor(own[facts.name] if sends else facts.empty(self._group.device), source)
                    if environment.rank == 0:
                        gathered[facts.name] = sent.cpu()
        return gathered

    def step(self, *arguments: Any, **named: Any) -> Any:
        """Update this rank's part of the weights, and exchange the parts. All ranks call this together."""
        with self._together():
            loss = super().step(*arguments, **named)
            self._group.synchronize()
        return loss

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


class _Header(msgspec.Struct):
    state: TrainerState
    tensors: list[TensorFacts]


def send_state(group: RankGroup, model: GPT, optimizer: Optimizer, state: TrainerState) -> None:
    """Send what rank 0 has just loaded to the others."""
    moments = optimizer.take_loaded() if isinstance(optimizer, ShardedOptimizer) else optimizer_tensors(model, optimizer)
    tensors = named_tensors(model, moments)
    group.send_json(_Header(state, facts_of(tensors)))
    for tensor in tensors.values():
        group.send_tensor(tensor)


@torch.no_grad()
def receive_state(group: RankGroup, model: GPT, optimizer: Optimizer) -> TrainerState:
    """Receive what `send_state` sends, load it, and return the trainer state.

    It comes one tensor at a time: of a sharded optimizer's state there may be no room for the parts of the other ranks, nor for
    its old state beside the new one.
    """
    header = msgspec.json.decode(group.send_json(None), type=_Header)
    weights = {MODEL_PREFIX + name: weight for name, weight in model.state_dict().items()}
    (optimizer.optim if isinstance(optimizer, ShardedOptimizer) else optimizer).state.clear()
    moments = {}
    for facts in header.tensors:
        received = group.send_tensor(facts.empty(group.device))
        if facts.name in weights:
            weights.pop(facts.name).copy_(received)
        elif not isinstance(optimizer, ShardedOptimizer) or optimizer.is_own(facts.name.removeprefix(OPTIMIZER_PREFIX)):
            moments[facts.name] = received
    if weights:
        raise RuntimeError(f"Rank 0 sent no {', '.join(weights)}.")
    load_optimizer(model, optimizer, tensors_under(OPTIMIZER_PREFIX, moments))
    return header.state
