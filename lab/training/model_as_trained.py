"""The model as trained: a run's model with its optimizer, its loss and its compiled parts.

Every rank of a training, One step and the timing of a step compute with it, so that a setting of the loss or the update is read
here and nowhere else.
"""

import math

import numpy as np
import torch
from torch import Tensor
from torch.optim import Optimizer

from lab.planning.device import describe_card, emulates
from lab.runs.run_schema import RunConfig, TrainConfig
from lab.training.checkpoint import ShardedState
from lab.training.trainer_state import TrainerState
from models.chunked_cross_entropy import ChunkLoss, loss_and_gradient
from models.config import AttentionKernel, ModelConfig, Precision, uniform_baseline
from models.gpt import GPT, Parts
from models.optimizers import make_optimizer, muon_dtype, set_muon_dtype

Distribution = np.ndarray[tuple[int], np.dtype[np.float64]]


class CrossEntropy:
    """The loss of training: of a chunk of logits as every rank computes it, of single predictions as One step shows them, of the
    uniform distribution, by which bad steps are told, and in words.

    To train with another loss, write a class like this one. Evaluations have plain cross entropy whatever is trained with.
    """

    target_name = "one-hot"

    @property
    def chunk(self) -> ChunkLoss:
        """The loss of a chunk of logits, with its gradient."""
        return loss_and_gradient

    def target(self, logits: Tensor, id_: int) -> Distribution:
        """The distribution (V,) that a prediction of this token from logits (V,) is trained towards: its loss has the gradient
        p − target at the logits."""
        target = np.zeros(len(logits))
        target[id_] = 1.0
        return target

    def losses(self, logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Loss and −ln p of each prediction, (n,) both, from logits (n, V) and targets (n,)."""
        surprises = logits.logsumexp(-1) - logits.gather(-1, targets[:, None])[:, 0]
        return surprises, surprises

    def formula(self, p: str) -> str:
        """The loss of a prediction whose target has this probability."""
        return f"−ln {p}"

    def uniform(self, vocab_size: int) -> float:
        """The loss where every token has the same probability."""
        return uniform_baseline(vocab_size)


class ModelAsTrained:
    """A model, its optimizer, and the arithmetic and loss of its steps: that of a batch is `model.loss` in training mode."""

    loss = CrossEntropy()

    def __init__(
        self, config: ModelConfig, train: TrainConfig, device: torch.device | str = "cpu", seed: int | None = None
    ) -> None:
        """`seed` sets the initial weights; None leaves them unset, for a checkpoint to fill."""
        self.train = train
        self.model = GPT(config, seed=seed).to(device)
        self.model.training_parts = self.model.training_parts._replace(chunk_loss=self.loss.chunk)
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

    def loss_of_uniform(self, config: RunConfig) -> float:
        """The loss of the uniform distribution, by which a run's losses are judged; infinite for a run that begins with other
        weights: on another text their first losses may be above that."""
        return math.inf if config.start is not None else self.loss.uniform(config.model.vocab_size)


BACKEND = "inductor"
"""torch's own code generator: Triton on a GPU, C++ on a CPU."""
LONGEST_REASON = 300
"""Characters of torch's reason for a failed compilation that are repeated."""


def compile_parts(model: GPT) -> None:
    """Compile a block and the loss of a chunk when they are first called, once for each size of a micro-batch.

    The code of one block serves every layer, so that compiling takes as long for 12 layers as for one (torch's "regional
    compilation"). The model's weights keep their names.
    """
    block, chunk_loss = model.training_parts
    model.compiled_parts = Parts(
        torch.compile(block, dynamic=False, backend=BACKEND), torch.compile(chunk_loss, dynamic=False, backend=BACKEND)
    )


def is_compiled(state: TrainerState, setting: str, device: torch.device) -> bool:
    """True if a run's steps are compiled here.

    They are not where a CPU resumes a run of a GPU, unless it was asked for, nor on a card that emulates the run's precision.
    """
    if state.compiled is not True:
        return False
    return not emulates(describe_card(device), state.precision) if device.type == "cuda" else setting == "on"


def fall_back(model: GPT, state: TrainerState, error: Exception, *, is_compiling: bool = False) -> str:
    """Compute without compiled code from now on, after this error, and return a sentence; empty if there is none to leave.

    `is_compiling` if the error came before there was any.
    """
    if model.compiled_parts is None and not is_compiling:
        return ""
    model.compiled_parts = None
    state.compiled = False
    reason = (str(error).strip().splitlines() or [""])[0][:LONGEST_REASON].rstrip(" .:")
    masks = " and the dropout masks" if model.config.dropout else ""
    return (
        f"torch.compile failed ({type(error).__name__}{': ' * bool(reason)}{reason}), so that steps are computed without it; "
        f"the results are the same but for rounding{masks}."
    )
