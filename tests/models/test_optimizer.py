"""Optimizers against torch's and closed forms; they do not load torch's compiler."""

import math
import subprocess
import sys

import pytest
import torch

from models.config import ModelConfig
from models.gpt import GPT
from models.optimizers import MuonAdamW, make_optimizer, orthogonalize

IDS = torch.arange(16)[None]

WITHOUT_COMPILER = """
import sys, torch
from models.config import ModelConfig
from models.gpt import GPT
from models.optimizers import make_optimizer
from models.sparse_autoencoder import fit
ids = torch.arange(16)[None]
for rule in ("adamw", "muon"):
    model = GPT(ModelConfig(layers=2, heads=2, width=8, context=16, vocab_size=23))
    optimizer = make_optimizer(model, 1e-3, rule=rule)
    model.loss(ids, ids).backward()
    optimizer.step()
    optimizer.zero_grad()
    optimizer.load_state_dict(optimizer.state_dict())
fit(torch.randn(8, 4), 4, 1, seed=0, steps=1)
raise SystemExit("torch._dynamo" in sys.modules)
"""


def test_no_method_loads_the_compiler() -> None:
    assert subprocess.run([sys.executable, "-c", WITHOUT_COMPILER]).returncode == 0


def test_adamw_is_torchs() -> None:
    models = GPT(CONFIG, 1), GPT(CONFIG, 1)
    ours = make_optimizer(models[0], 1e-2)
    groups = [{"params": [w for w in models[1].parameters() if (w.dim() >= 2) is decays]} for decays in (True, False)]
    groups[0]["weight_decay"], groups[1]["weight_decay"] = 0.1, 0.0  # type: ignore[assignment]
    theirs = torch.optim.AdamW(groups, lr=1e-2, betas=(0.9, 0.95), fused=True)
    for _ in range(3):
        for model, optimizer in zip(models, (ours, theirs), strict=True):
            model.loss(IDS, IDS).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            optimizer.zero_grad()
    assert all(torch.equal(one, other) for one, other in zip(*(model.parameters() for model in models), strict=True))
    kept = [optimizer.state_dict() for optimizer in (ours, theirs)]
    assert kept[0]["param_groups"][0].keys() - {"rule"} == kept[1]["param_groups"][0].keys()


CONFIG = ModelConfig(layers=2, heads=2, width=8, context=16, vocab_size=23)


def test_matrices_and_embeddings_decay_and_nothing_else() -> None:
    model = GPT(CONFIG)
    decayed, kept = make_optimizer(model, 1e-3, 0.1).param_groups
    names = {id(weight): name for name, weight in model.named_parameters()}
    assert (decayed["weight_decay"], kept["weight_decay"]) == (0.1, 0.0)
    assert {names[id(weight)].split(".")[-2] for weight in decayed["params"]} == {"wte", "wpe", "c_attn", "c_proj", "c_fc"}
    assert all(names[id(weight)].endswith("bias") or ".ln_" in f".{names[id(weight)]}" for weight in kept["params"])
    assert len(decayed["params"]) + len(kept["params"]) == len(names)


def test_the_first_update_is_adamw_in_closed_form() -> None:
    # after one step the bias-corrected averages are g and g², so that each weight moves by lr · g / (|g| + eps) after its decay
    model, lr, decay = GPT(CONFIG, 1).double(), 0.01, 0.1
    optimizer = make_optimizer(model, lr, decay, (0.9, 0.95))
    ids = torch.arange(16)[None]
    model.loss(ids, ids).backward()
    weight = model.wte.weight
    assert weight.grad is not None
    expected = weight.detach() * (1 - lr * decay) - lr * weight.grad / (weight.grad.abs() + 1e-8)
    optimizer.step()
    assert (weight - expected).abs().max() < 1e-12


def train(model: GPT, optimizers: list[torch.optim.Optimizer], steps: int = 4) -> None:
    for step in range(steps):
        ids = torch.randint(23, (2, 17), generator=torch.Generator().manual_seed(step))
        model.loss(ids[:, :-1], ids[:, 1:]).backward()  # type: ignore[no-untyped-call]
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()


@pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="torch has Muon since 2.9")
def test_muon_is_torchs_muon_and_adamw() -> None:
    """Against torch's two optimizers side by side; the fused matrix of queries, keys and values taken as one, as torch would."""
    model, twin = GPT(CONFIG, 1), GPT(CONFIG, 1)
    optimizer = make_optimizer(model, 1e-2, 0.1, rule="muon")
    for group in optimizer.param_groups:
        group["parts"] = 1
    hidden = [weight for name, weight in twin.named_parameters() if name.startswith("h.") and weight.dim() == 2]
    rest = [weight for name, weight in twin.named_parameters() if not (name.startswith("h.") and weight.dim() == 2)]
    groups = [{"params": [w for w in rest if w.dim() == size], "weight_decay": decay} for size, decay in ((2, 0.1), (1, 0.0))]
    theirs = [
        torch.optim.Muon(hidden, lr=1e-2, weight_decay=0.1, momentum=0.95, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(groups, lr=1e-2, betas=(0.9, 0.95)),
    ]
    start = {name: weight.clone() for name, weight in model.state_dict().items()}
    train(model, [optimizer], 1)
    train(twin, theirs, 1)
    for name, weight in model.state_dict().items():
        moved = (weight - start[name]).abs().max()
        assert (weight - twin.state_dict()[name]).abs().max() <= 1e-3 * moved, name
    train(model, [optimizer])
    train(twin, theirs)
    moved, expected = (
        torch.cat([(weight - start[name]).flatten() for name, weight in one.state_dict().items()]) for one in (model, twin)
    )
    assert float(torch.nn.functional.cosine_similarity(moved, expected, dim=0)) > 0.99  # bf16 rounding grows from step to step


def test_an_orthogonal_matrix_keeps_directions_and_loses_sizes() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(5, 12, 40, dtype=torch.float64, generator=generator)
    made = orthogonalize(x, torch.float64)
    left, sizes, right = torch.linalg.svd(x, full_matrices=False)
    in_their_base = left.mT @ made @ right.mT
    found = in_their_base.diagonal(dim1=1, dim2=2)
    assert float(sizes.max() / sizes.min()) > 2.0
    assert (in_their_base - torch.diag_embed(found)).abs().max() < 1e-9
    assert 0.65 < float(found.min()) < float(found.max()) < 1.25


def test_a_singular_value_comes_near_one_unless_it_is_tiny() -> None:
    generator = torch.Generator().manual_seed(0)
    left, right = (torch.linalg.qr(torch.randn(8, 8, dtype=torch.float64, generator=generator))[0] for _ in range(2))
    sizes = torch.tensor([0.9, 0.4, 0.1, 0.03, 0.01, 0.002, 0.00004, 0.0], dtype=torch.float64)
    share = sizes / sizes.norm()
    found = (left.mT @ orthogonalize((left * sizes) @ right.mT[None], torch.float64)[0] @ right).diagonal()
    assert 0.002 < float(share[5]) < 0.0021
    assert 0.68 < float(found[:6].min()) < float(found[:6].max()) < 1.21
    assert float(found[6]) == pytest.approx(485 * float(share[6]), rel=0.01)
    assert float(found[6]) < 0.02
    assert float(found[7]) == pytest.approx(0.0, abs=1e-9)


def test_in_fp16_a_tiny_gradient_is_made_orthogonal_as_in_fp32() -> None:
    """Its numbers would be 0 in fp16 before they are normalized."""
    x = 1e-9 * torch.randn(2, 16, 48, generator=torch.Generator().manual_seed(0))
    expected = orthogonalize(x, torch.float32)
    apart = [
        float((orthogonalize(x, dtype).float() - expected).norm() / expected.norm()) for dtype in (torch.float16, torch.bfloat16)
    ]
    assert apart[0] < 0.003 < apart[1] < 0.03


def test_queries_keys_and_values_are_made_orthogonal_each_by_itself() -> None:
    """At the first step the momentum is the gradient's multiple, so that each part moves by its own gradient, made orthogonal."""
    model = GPT(CONFIG, 2)
    optimizer = make_optimizer(model, 1e-2, 0.0, rule="muon")
    assert isinstance(optimizer, MuonAdamW)
    optimizer.dtype = torch.float32
    weight = model.h[0].attn.c_attn.weight
    before = weight.detach().clone()
    ids = torch.arange(16)[None] % 7
    model.loss(ids, ids).backward()  # type: ignore[no-untyped-call]
    assert weight.grad is not None
    expected = torch.cat([orthogonalize(part[None], torch.float32)[0] for part in weight.grad.split(8)])
    optimizer.step()
    assert [group["rule"] for group in optimizer.param_groups] == ["adamw", "adamw", "muon", "muon"]
    moved = (before - weight.detach()) / (1e-2 * 0.2 * math.sqrt(8))
    assert (moved - expected).abs().max() < 1e-3
    assert (moved.view(3, 8, 8)[0] - orthogonalize(weight.grad[None], torch.float32)[0, :8]).abs().max() > 0.1
