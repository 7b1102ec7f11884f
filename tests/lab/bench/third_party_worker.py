"""Worker process that measures other projects: `python -P third_party_worker.py JOB`, which serves as
`lab.bench.bench_worker` does. nanoGPT is read from the user's own checkout, in this process only.

The validation jobs of a race print one number, in nats per character, over the whole validation part.
"""

import importlib.util
import json
import runpy
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from lab.bench.bench_worker import LEAST_SECONDS, Work, random_tokens, serve

CLIP = 1.0
"""Limit of the gradients' norm, as a run's."""
ARGUMENTS = "model_args"
"""Metadata key of nanoGPT's shape in its checkpoint, as JSON."""


def main() -> None:
    job = json.loads(sys.argv[1])
    threads, seconds = job.pop("threads", None), job.pop("seconds", LEAST_SECONDS)
    if threads:
        torch.set_num_threads(threads)
    kind = job.pop("kind")
    if kind == "train":
        train_nanogpt(**job)
        return
    if kind in VALIDATIONS:
        sys.stdout.write(f"{VALIDATIONS[kind](**job)}\n")
        return
    work, info = (nanogpt if kind == "nanogpt" else hugging_face)(**job)
    serve(work, info, seconds=seconds)


def model_of(folder: str) -> ModuleType:
    """Import model.py of a checkout of nanoGPT."""
    spec = importlib.util.spec_from_file_location("nanogpt_model", Path(folder) / "model.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["nanogpt_model"] = module
    spec.loader.exec_module(module)
    return module


def nanogpt(folder: str, shape: dict[str, Any], batch: int) -> tuple[Work, dict[str, Any]]:
    """Tokens per second of nanoGPT's training steps on a CPU without compilation: fp32, its optimizer, clipping."""
    stdout, sys.stdout = sys.stdout, sys.stderr
    code = model_of(folder)
    model = code.GPT(
        code.GPTConfig(
            block_size=shape["context"],
            vocab_size=shape["vocab_size"],
            n_layer=shape["layers"],
            n_head=shape["heads"],
            n_embd=shape["width"],
            dropout=0.0,
            bias=False,
        )
    )
    optimizer = model.configure_optimizers(0.1, 1e-3, (0.9, 0.99), "cpu")
    sys.stdout = stdout
    ids = torch.from_numpy(random_tokens(shape["vocab_size"], (8, batch, shape["context"] + 1)))
    step = 0

    def work() -> float:
        nonlocal step
        windows = ids[step % len(ids)]
        step += 1
        _, loss = model(windows[:, :-1].contiguous(), windows[:, 1:].contiguous())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        loss.item()
        return float(batch * shape["context"])

    return work, {}


def hugging_face(shape: dict[str, Any], prompt: int, tokens: int) -> tuple[Work, dict[str, Any]]:
    """Tokens per second of greedy generation by transformers' GPT2LMHeadModel in fp32 with its cache, including the prompt."""
    import os

    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(
        vocab_size=shape["vocab_size"],
        n_positions=shape["context"],
        n_embd=shape["width"],
        n_layer=shape["layers"],
        n_head=shape["heads"],
        bos_token_id=0,
        eos_token_id=None,
    )
    model = GPT2LMHeadModel(config).eval()  # type: ignore[no-untyped-call]
    ids = torch.from_numpy(random_tokens(shape["vocab_size"], (1, prompt)))
    mask = torch.ones_like(ids)

    @torch.inference_mode()
    def work() -> float:
        made = model.generate(
            ids,
            attention_mask=mask,
            max_new_tokens=tokens,
            min_new_tokens=tokens,
            do_sample=False,
            use_cache=True,
            pad_token_id=0,
        )
        return float(made.shape[1] - prompt)

    return work, {}


def train_nanogpt(folder: str, arguments: list[str], checkpoint: str) -> None:
    """Run nanoGPT's own train.py in the current folder; it saves into a safetensors file, not a pickle."""

    def save(kept: dict[str, Any], path: object) -> None:
        weights = {name: weight.detach().cpu().clone() for name, weight in kept["model"].items()}
        save_file(weights, checkpoint, {ARGUMENTS: json.dumps(kept["model_args"])})

    torch.save = save  # type: ignore[assignment]
    sys.path.insert(0, folder)
    sys.argv = ["train.py", *arguments]
    runpy.run_path(str(Path(folder) / "train.py"), run_name="__main__")


@torch.inference_mode()
def validate_nanogpt(folder: str, checkpoint: str, ids: str) -> float:
    """Validation loss of nanoGPT's checkpoint, over windows of block_size characters."""
    stdout, sys.stdout = sys.stdout, sys.stderr
    code = model_of(folder)
    with safe_open(checkpoint, framework="pt") as file:
        arguments = json.loads(file.metadata()[ARGUMENTS])
        weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    model = code.GPT(code.GPTConfig(**arguments)).eval()
    sys.stdout = stdout
    model.load_state_dict(weights)
    characters = torch.from_numpy(np.fromfile(ids, np.uint16).astype(np.int64))
    size, total = model.config.block_size, 0.0
    for start in range(0, len(characters) - 1, size):
        window = characters[start : start + size + 1]
        total += float(model(window[None, :-1], window[None, 1:])[1]) * (len(window) - 1)
    return total / (len(characters) - 1)


def validate_ours(run: str) -> float:
    """Validation loss of a run's best weights in fp32, in nats per character."""
    from lab.data.data_order import ValidationWindows
    from lab.data.token_file import TokenFile, token_dtype
    from lab.runs.find_runs import open_run
    from lab.runs.run_folder import tokenizer_of
    from lab.runs.weights_file import load_model

    found = open_run(Path(run))
    model, _ = load_model(found, "best")
    data = found.config.data
    tokens = TokenFile(found.tokens_path, token_dtype(model.config.vocab_size))
    windows = ValidationWindows(tokens, data.split, data.tokens, model.config.context, 32)
    total = 0.0
    for ids, targets in windows:
        with torch.inference_mode():
            total += float(model.loss(torch.from_numpy(ids), torch.from_numpy(targets))) * targets.size
    return total / len(tokenizer_of(found).decode(tokens[data.split : data.tokens].tolist()))


VALIDATIONS: dict[str, Callable[..., float]] = {"validate": validate_nanogpt, "ours": validate_ours}


if __name__ == "__main__":
    main()
