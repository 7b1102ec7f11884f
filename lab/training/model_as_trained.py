"""The model as trained: a run's model with its optimizer, its loss and its target distribution, made in one place.

Every rank of a training, One step and the timing of a step compute with it, so that a setting of the loss or the update is read
here and nowhere else.
"""

import numpy as np
import torch
from torch import Tensor
from torch.optim import Optimizer

from lab.runs.run_schema import TrainConfig
from lab.training.checkpoint import ShardedState
from models.config import AttentionKernel, ModelConfig, Precision
from models.gpt import GPT
from models.optimizers import make_optimizer, muon_dtype, set_muon_dtype


class ModelAsTrained:
    """A model, its optimizer, and the arithmetic, loss and target of its steps.

    The loss of a batch is `model.loss` in training mode. Where it is not the plain cross entropy, `model.training_parts` say so,
    and `target`, `losses` and the words about them tell the same of a single prediction.
    """

    target_name = "one-hot"

    def __init__(
        self, config: ModelConfig, train: TrainConfig, device: torch.device | str = "cpu", seed: int | None = None
    ) -> None:
        """`seed` sets the initial weights; None leaves them unset, for a checkpoint to fill."""
        self.train = train
        self.model = GPT(config, seed=seed).to(device)
        betas = (train.beta1, train.beta2)
        self.optimizer: Optimizer = make_optimizer(self.model, train.lr, train.weight_decay, betas, train.optimizer)

    def set_arithmetic(self, precision: Precision, attention: AttentionKernel) -> None:
        """Compute attention by this kernel, and Muon's products as this device does in a run of this precision."""
        self.model.set_attention_kernel(attention)
        local = self.optimizer.optim if isinstance(self.optimizer, ShardedState) else self.optimizer
        set_muon_dtype(local, muon_dtype(precision, self.model.wte.weight.device.type))

    def set_lr(self, lr: float) -> None:
        """The learning rate of the next update."""
        for group in self.optimizer.param_groups:
            group["lr"] = lr

    def clip_gradients(self) -> Tensor:
        """Clip the gradients to the run's limit; returns their norm before, for which a GPU is waited for only if it is read."""
        return torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.train.clip)

    def target(self, id_: int) -> "np.ndarray[tuple[int], np.dtype[np.float64]]":
        """The distribution (V,) that a prediction of this token is trained towards: its loss has the gradient p − target."""
        target = np.zeros(self.model.config.vocab_size)
        target[id_] = 1.0
        return target

    def losses(self, logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Loss and −ln p of each prediction, (n,) both, from logits (n, V) and targets (n,)."""
        surprises = logits.logsumexp(-1) - logits.gather(-1, targets[:, None])[:, 0]
        return surprises, surprises

    def loss_formula(self, p: str) -> str:
        """The loss of a prediction whose target has this probability."""
        return f"−ln {p}"
