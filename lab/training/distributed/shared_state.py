"""Weights, optimizer state and trainer state from rank 0 to the others, which never read a checkpoint themselves."""

import msgspec
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


def receive_state(group: RankGroup, model: GPT, optimizer: Optimizer) -> TrainerState:
    """Receive what `send_state` sends, load it, and return the trainer state."""
    header = msgspec.json.decode(group.send_json(None), type=_Header)
    tensors = {facts.name: group.send_tensor(facts.empty(group.device)) for facts in header.tensors}
    model.load_state_dict(tensors_under(MODEL_PREFIX, tensors))
    load_optimizer(model, optimizer, tensors_under(OPTIMIZER_PREFIX, tensors))
    return header.state
