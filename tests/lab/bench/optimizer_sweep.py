"""Sweep of optimizers and learning rates: the same steps, texts and seeds for each, one JSON line per trial.

    python -m tests.lab.bench.optimizer_sweep text.txt python --rule muon adamw --lr 2e-3 4e-3 --seed 1 2 --out sweep.jsonl

Losses at equal steps do not depend on how busy the machine is; the seconds a step do, so the time of each rule is measured by
`llmlab bench`, and `--steps` of the quicker one may be raised by that ratio. Results so far are in `optimizer_sweep.md`.
"""

import argparse
import itertools
import json
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from lab.data.data_order import TrainingBatches, ValidationWindows
from lab.data.text_source import open_corpus
from lab.data.token_file import TokenFile, TokenFileFacts, token_dtype, tokenize_corpus
from lab.data.train_val_split import split_text
from models.config import ModelConfig, schedule_factor
from models.gpt import GPT
from models.optimizers import make_optimizer, set_muon_dtype
from models.tokenizers.tokenizer import Tokenizer

BYTES = 256
CLIP = 1.0


@dataclass(frozen=True)
class Trial:
    text: str
    rule: str = "adamw"
    lr: float = 2e-3
    seed: int = 1
    steps: int = 600
    batch: int = 24
    layers: int = 4
    heads: int = 4
    width: int = 128
    context: int = 64
    weight_decay: float = 0.1
    beta2: float = 0.95
    final: float = 0.1
    warmup: float = 0.03
    precision: str = "bf16"


def run(trial: Trial, tokens: TokenFile, prepared: TokenFileFacts) -> dict[str, float]:
    """Train on the text as bytes. `val_loss` is in nats per byte over the whole validation part, `step_ms` the median step."""
    shape = ModelConfig(layers=trial.layers, heads=trial.heads, width=trial.width, context=trial.context, vocab_size=BYTES)
    model = GPT(shape, seed=trial.seed)
    optimizer = make_optimizer(model, trial.lr, trial.weight_decay, (0.9, trial.beta2), trial.rule)  # type: ignore[arg-type]
    low = trial.precision == "bf16"
    set_muon_dtype(optimizer, torch.bfloat16 if low else torch.float32)
    batches = TrainingBatches(tokens, 0, prepared.split, trial.context, trial.batch, trial.seed)
    times = []
    for step in range(trial.steps):
        started = time.perf_counter()
        for group in optimizer.param_groups:
            group["lr"] = trial.lr * schedule_factor("cosine", (step + 1) / trial.steps, trial.warmup, trial.final)
        ids, targets = (torch.from_numpy(part) for part in batches.at(step))
        with torch.autocast("cpu", torch.bfloat16, enabled=low):
            loss = model.loss(ids, targets)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        optimizer.step()
        optimizer.zero_grad()
        times.append(time.perf_counter() - started)
    windows = ValidationWindows(tokens, prepared.split, prepared.tokens, trial.context, 4096 // trial.context)
    total = 0.0
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=low):
        for ids_, targets_ in windows:
            total += float(model.loss(torch.from_numpy(ids_), torch.from_numpy(targets_))) * targets_.size
    return {"val_loss": round(total / windows.tokens, 4), "step_ms": round(1000 * sorted(times)[len(times) // 2], 2)}


def main() -> None:
    """Run every combination of the options' values; print the results and append them to `--out`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("texts", nargs="+")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--threads", type=int, default=1)
    options = [name for name in Trial.__dataclass_fields__ if name != "text"]
    for name in options:
        default = getattr(Trial, name)
        parser.add_argument(f"--{name.replace('_', '-')}", nargs="+", type=type(default), default=[default])
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    for text in asked.texts:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "tokens.bin"
            corpus = open_corpus(text)
            corpus.measure()
            prepared = tokenize_corpus(corpus, split_text(corpus), Tokenizer.bytes_(), path)
            tokens = TokenFile(path, token_dtype(BYTES))
            for values in itertools.product(*(getattr(asked, name) for name in options)):
                trial = Trial(text=corpus.name, **dict(zip(options, values, strict=True)))
                line = json.dumps(asdict(trial) | run(trial, tokens, prepared))
                print(line, flush=True)
                if asked.out:
                    with asked.out.open("a", encoding="utf-8") as file:
                        file.write(line + "\n")


if __name__ == "__main__":
    main()
