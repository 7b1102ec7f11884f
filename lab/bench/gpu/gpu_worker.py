"""Worker process that measures training steps on a GPU: `python -P -m lab.bench.gpu.gpu_worker JOB`, which serves as
`lab.bench.bench_worker` does.
"""

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from lab.bench.bench_worker import CLIP, Work, serve
from lab.bench.random_tokens import random_tokens
from lab.data.token_file import Ids
from lab.planning.autotune import choose_compute
from lab.planning.device import choose_device
from lab.runs.run_schema import TrainConfig
from lab.training.acceleration.batch_feed import BatchFeed
from lab.training.acceleration.compilation import compile_parts
from lab.training.acceleration.loss_scaling import LossScaler
from lab.training.trainer_state import TrainerState
from models.config import ModelConfig
from models.gpt import GPT, autocast
from models.optimizers import make_optimizer
from models.parameter_count import flops_per_token


@dataclass(frozen=True)
class RandomBatches:
    """The same eight batches of random tokens, again and again."""

    ids: Ids

    def at(self, step: int) -> tuple[Ids, Ids]:
        windows = self.ids[step % len(self.ids)]
        return windows[:, :-1].copy(), windows[:, 1:].copy()


def training(shape: dict[str, Any], batch: int, device: str, home: str, *, compiled: bool) -> tuple[Work, dict[str, Any]]:
    """Tokens per second of training steps as the trainer computes them, with AdamW, which is nanoGPT's optimizer, too."""
    config = ModelConfig(**shape)
    where = choose_device(device)
    chosen = choose_compute(config, TrainConfig(batch=batch), where, Path(home))
    torch.set_float32_matmul_precision("high")
    model = GPT(config, seed=1).to(where)
    model.set_attention_kernel(chosen.attention)
    if compiled:
        compile_parts(model)
    optimizer = make_optimizer(model, 1e-4)
    scaler = LossScaler(TrainerState(precision=chosen.precision), model, optimizer)
    feed = BatchFeed(RandomBatches(random_tokens(config.vocab_size, (8, batch, config.context + 1))), where)
    step = 0

    def work() -> float:
        nonlocal step
        ids, targets = feed.at(step)
        step += 1
        model.zero_grad(set_to_none=True)
        with autocast(chosen.precision, where.type):
            loss = model.loss(ids, targets)
        loss.backward()  # type: ignore[no-untyped-call]
        feed.prepare(step)
        float(loss.detach())
        scaler.unscale()
        norm = float(torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP))
        overflow = scaler.is_overflow(0.0, norm)
        if not overflow:
            optimizer.step()
        scaler.end_step(skipped=overflow, applied=not overflow)
        return float(batch * config.context)

    name = torch.cuda.get_device_name(where) if where.type == "cuda" else where.type
    return work, {"flops_per_token": flops_per_token(config), "precision": chosen.precision, "name": name}


def main() -> None:
    job = json.loads(sys.argv[1])
    seconds = job.pop("seconds")
    serve(*training(**job), seconds=seconds)


if __name__ == "__main__":
    main()
