"""Weights, optimizer state and trainer state from rank 0 to the others, which never read a checkpoint themselves."""

import msgspec
import torch
from torch.optim import Optimizer

from lab.runs.weights_file import MODEL_PREFIX, OPTIMIZER_PREFIX, tensors_under
from lab.training.checkpoint import load_optimizer, optimizer_tensors
from lab.training.distributed.rank_group import RankGroup
from lab.training.distributed.sharded_optimizer import ShardedOptimizer
from lab.training.distributed.tensor_facts import TensorFacts, facts_of
from lab.training.trainer_state import TrainerState
from models.gpt import GPT


class _Header(msgspec.Struct):
    state: TrainerState
    tensors: list[TensorFacts]


def send_state(group: RankGroup, model: GPT, optimizer: Optimizer, state: TrainerState) -> None:
    """Send what rank 0 has just loaded to the others."""
    moments = optimizer.take_loaded() if isinstance(optimizer, ShardedOptimizer) else optimizer_tensors(model, optimizer)
    tensors = {MODEL_PREFIX + name: weight for name, weight in model.state_dict().items()}
    tensors |= {OPTIMIZER_PREFIX + name: value for name, value in moments.items()}
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
