"""A model and its optimizer, trained without a trainer, to save."""

import torch

from lab.runs.run_folder import Run
from lab.training.checkpoint import load_checkpoint, optimizer_tensors, save_checkpoint
from lab.training.trainer_state import TrainerState
from models.gpt import GPT
from models.optimizers import make_optimizer


class Trainee:
    """A model and its optimizer after some steps on random ids."""

    def __init__(self, run: Run, steps: int = 0) -> None:
        self.model = GPT(run.config.model, seed=1)
        self.optimizer = make_optimizer(self.model, lr=1e-3)
        self.step = 0
        self.train(steps)

    def train(self, steps: int) -> None:
        for _ in range(steps):
            ids = torch.randint(256, (2, 17), generator=torch.Generator().manual_seed(self.step))
            self.optimizer.zero_grad()
            self.model.loss(ids[:, :-1], ids[:, 1:]).backward()  # type: ignore[no-untyped-call]
            self.optimizer.step()
            self.step += 1

    def save(self, run: Run) -> None:
        save_checkpoint(run, self.model, self.optimizer, TrainerState(step=self.step, precision="fp32"))

    def equals(self, other: "Trainee") -> bool:
        mine, theirs = self.state(), other.state()
        return mine.keys() == theirs.keys() and all(torch.equal(mine[name], theirs[name]) for name in mine)

    def state(self) -> dict[str, torch.Tensor]:
        return self.model.state_dict() | optimizer_tensors(self.model, self.optimizer)


def loaded(run: Run) -> tuple[Trainee, TrainerState, str]:
    trainee = Trainee(run)
    resumed = load_checkpoint(run, trainee.model, trainee.optimizer)
    assert resumed is not None
    trainee.step = resumed.state.step
    return trainee, resumed.state, resumed.note
