"""Training steps to look at: of the next batch, and of a sentence."""

from typing import Any

import torch
from torch.nn.functional import cross_entropy

from lab.engine.method_bindings import OneStepMethods
from lab.engine.method_registry import OneStepParams
from lab.runs.run_folder import Run
from lab.training.model_as_trained import ModelAsTrained
from lab.training.one_step.starting_point import open_checkpoint, own_batch, sentence_batch
from lab.training.one_step.step_stages import StepAnswer
from lab.training.one_step.training_step import TrainingStep
from models.tokenizers.tokenizer import Tokenizer

SENTENCE = "The big dog met"


class StepAsker:
    """Asks the engine's method for stages of a run's training step."""

    def __init__(self, run: Run) -> None:
        self.run, self.methods = run, OneStepMethods()

    def __call__(self, **fields: Any) -> StepAnswer:
        return self.methods.one_step(OneStepParams(run=str(self.run.path), **fields))


def at_next_batch(run: Run) -> TrainingStep:
    checkpoint = open_checkpoint(run)
    parts = checkpoint.state.micro_batches or run.config.train.accumulate
    return TrainingStep(checkpoint, own_batch(run, checkpoint.state.step, parts))


def at_sentence(run: Run, text: str = SENTENCE) -> TrainingStep:
    batch = sentence_batch(Tokenizer.load(run.tokenizer_path), text, run.config.model.context)
    return TrainingStep(open_checkpoint(run), batch)


def everything(step: TrainingStep | ModelAsTrained) -> dict[str, torch.Tensor]:
    """Copies of all weights and of the whole optimizer state."""
    found = {name: weight.detach().clone() for name, weight in step.model.named_parameters()}
    for name, weight in step.model.named_parameters():
        for key, value in step.optimizer.state.get(weight, {}).items():
            found[f"{key} of {name}"] = value.clone()
    return found


def assert_same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> None:
    assert one.keys() == other.keys()
    assert [name for name in one if not torch.equal(one[name], other[name])] == []


def loss_in_doubles(step: TrainingStep) -> float:
    """By torch's own cross entropy of the whole logits, not by the trainer's."""
    logits = step.model.eval()(torch.from_numpy(step.batch.ids)).flatten(0, 1)
    return float(cross_entropy(logits, torch.from_numpy(step.batch.targets).flatten()))
