"""Cases of the exercises: the arguments that each function is checked on, from a run's weights, prompt and text."""

from dataclasses import dataclass
from typing import Any

import torch

from lab.core.number_format import counted
from lab.exercises.exercise import reference_of
from lab.exercises.material import Material
from models.trace import Trace


@dataclass(frozen=True)
class Case:
    """Arguments to call the function with, and what they are, in words."""

    name: str
    arguments: tuple[Any, ...]
    number: str = ""
    """What Inspect calls a number of the result, with {0}, {1} … in place of its indices; "" where it explains none of them."""


def count_pairs(material: Material) -> list[Case]:
    return [
        Case("the bytes of the text's beginning", (list(material.text[:2000]),)),
        Case("the text aaa", ([97, 97, 97],)),
        Case("one byte", ([97],)),
    ]


def learn_merges(material: Material) -> list[Case]:
    return [
        Case("10 merges of the text's beginning", (material.text[:3000], 10)),
        Case("2 merges of abab", (b"abab", 2)),
        Case("the text aaaaa, where pairs overlap", (b"aaaaa", 2)),
        Case("a text that is soon one token", (b"ab", 5)),
    ]


def encode(material: Material) -> list[Case]:
    merges = reference_of("learn_merges")(material.text[:3000], 40)
    long = material.text[:12_000]
    return [
        Case("the prompt by 40 merges of the text", (material.prompt.encode(), merges)),
        Case("the text abc, where the later pair was learned first", (b"abc", [(98, 99), (97, 98)])),
        Case("the text aaa", (b"aaa", [(97, 97)])),
        Case(f"{counted(len(long), 'byte')} of the text", (long, merges)),
    ]


def windows(material: Material) -> list[Case]:
    ids = material.text_ids[:200]
    return [
        Case("three windows of the text", (ids, [0, 17, 90], 16)),
        Case("one token of context", (ids, [3, 4], 1)),
        Case("a window that ends with the text", (ids[:9], [0], 8)),
    ]


def _of_ids(material: Material, number: str, *rest: Any) -> list[Case]:
    prompt, one, full = (torch.tensor(ids) for ids in (material.ids, material.ids[:1], material.full))
    return [Case("your prompt", (prompt, *rest), number), Case("one token", (one, *rest)), Case("a full context", (full, *rest))]


def embed(material: Material) -> list[Case]:
    return _of_ids(material, "blocks.0.resid_pre[{0},{1}]", material.weights["wte.weight"], material.weights["wpe.weight"])


def softmax(material: Material) -> list[Case]:
    scores, last = material.vectors("attn.attn_scores"), len(material.ids) - 1
    return [
        Case("the scores of head 1.1 at your prompt", (scores[0],), "blocks.0.attn.pattern[0,{0},{1}]"),
        Case("the same, neither scaled nor masked", (material.vectors("attn.scores_raw")[0],)),
        Case("the scores of all heads", (scores,), "blocks.0.attn.pattern[{0},{1},{2}]"),
        Case("the logits after your prompt", (material.trace["logits"][-1],), f"probability[{last},{{0}}]"),
        Case("scores of 1,000 and more", (torch.tensor([1000.0, 1001.0, 999.0]),)),
        Case("two rows far apart", (torch.tensor([[1000.0, 1001.0], [0.0, 1.0]]),)),
        Case("one score", (torch.tensor([3.0]),)),
    ]


def layer_norm(material: Material) -> list[Case]:
    gain, bias = material.weights["h.0.ln_1.weight"], material.weights["h.0.ln_1.bias"]
    stream = material.vectors("resid_pre")
    return [
        Case("the stream before layer 1 at your prompt", (stream, gain, bias), "blocks.0.ln1.out[{0},{1}]"),
        Case("one token", (stream[:1], gain, bias)),
        Case("a batch of two", (torch.stack((stream, stream + 1)), gain, bias)),
        Case("vectors of very small numbers, where eps counts", (stream * 1e-2, gain, bias)),
        Case("a vector whose numbers are all alike", (torch.full((1, len(gain)), 0.25), gain, bias)),
        Case("another eps, 0.1", (stream, gain, bias, 0.1)),
    ]


def head(material: Material) -> list[Case]:
    layer = material.run.config.model.layers - 1
    q, k, v = (material.vectors(f"attn.{name}", layer)[:, 0] for name in "qkv")
    full = torch.Generator().manual_seed(1)
    return [
        Case(f"head {layer + 1}.1 at your prompt", (q, k, v), f"blocks.{layer}.attn.z[{{0}},0,{{1}}]"),
        Case("one token", (q[:1], k[:1], v[:1])),
        Case("two tokens", (q[:2], k[:2], v[:2])),
        Case("large scores", (q * 30, k * 30, v)),
        Case("a full context", tuple(torch.randn(len(material.full), q.shape[1], generator=full) for _ in range(3))),
    ]


def attention(material: Material) -> list[Case]:
    layer = material.run.config.model.layers - 1
    weights, x = material.of_layer("attn", layer), material.vectors("ln1.out", layer)
    generator = torch.Generator().manual_seed(1)
    small = [torch.randn(shape, generator=generator) for shape in ((5, 6), (18, 6), (18,), (6, 6), (6,))]
    return [
        Case(f"layer {layer + 1} at your prompt", (x, *weights, material.heads), f"blocks.{layer}.attn_out[{{0}},{{1}}]"),
        Case("one token", (x[:1], *weights, material.heads)),
        Case("three heads, width 6, random numbers", (*small, 3)),
        Case("one head", (*small, 1)),
    ]


def mlp(material: Material) -> list[Case]:
    weights, x = material.of_layer("mlp"), material.vectors("ln2.out")
    wide = torch.linspace(-6, 6, 4 * x.shape[1])
    return [
        Case("layer 1 at your prompt", (x, *weights), "blocks.0.mlp_out[{0},{1}]"),
        Case("one token", (x[:1], *weights)),
        Case("neurons from −6 to 6", (x, weights[0], wide, *weights[2:])),
    ]


def gpt(material: Material) -> list[Case]:
    return _of_ids(material, "logits[{0},{1}]", material.weights, material.heads)


def cross_entropy(material: Material) -> list[Case]:
    logits = material.trace["logits"].float()
    targets = torch.tensor([*material.ids[1:], material.ids[0]])
    return [
        Case("your prompt's tokens", (logits, targets)),
        Case("one token", (logits[:1], targets[:1])),
        Case("three tokens", (logits[-1] * torch.tensor([[1.0], [-0.5], [0.2]]), torch.tensor([3, 1, 4]))),
        Case("logits hundreds apart", (logits * 300, targets)),
    ]


def adamw(material: Material) -> list[Case]:
    w = material.weights["h.0.attn.c_proj.weight"]
    generator = torch.Generator().manual_seed(1)
    g, m = (torch.randn(w.shape, generator=generator) * 1e-3 for _ in range(2))
    v = torch.rand(w.shape, generator=generator) * 1e-6
    none, nothing = torch.zeros_like(w), torch.zeros_like(w)  # two, for who changes them in place
    return [
        Case("the first step of a matrix of layer 1", (w, g, none, nothing, 1, 1e-2)),
        Case("step 7 of the same", (w, g, m, v, 7, 1e-2)),
        Case("gradients so small that eps counts", (w, g * 1e-5, none, nothing, 1, 1e-2)),
        Case("other settings", (w, g, m, v, 3, 1e-1, 0.8, 0.99, 1e-3, 0.5)),
        Case("no gradient", (w, torch.zeros_like(w), none, nothing, 1, 1e-2)),
    ]


def sample(material: Material) -> list[Case]:
    logits, alike = material.trace["logits"][-1].float(), (torch.zeros(1000), 0.5004)
    return [
        Case("temperature 0.5", (logits, 0.9, 0.5)),
        Case("top-k 3", (logits, 0.999, 1.0, 3)),
        Case("top-k 2, and two are equally probable at its border", (torch.tensor([1.0, 2.0, 1.0, 0.0]), 0.9, 1.0, 2)),
        Case("top-p 0.9", (logits * 0.3, 0.8, 1.0, 0, 0.9)),
        Case("all three", (logits * 0.5, 0.97, 1.5, 20, 0.8)),
        Case("a top-p that keeps one token", (logits * 2, 0.99, 1.0, 0, 0.01)),
        Case("the random number 0", (logits, 0.0)),
        Case("the random number 0, and the first ids are not kept", (torch.tensor([0.0, 1.0, 2.0]), 0.0, 1.0, 1)),
        Case("1,000 tokens of the same probability", alike),
        Case("the same again", alike),
    ]


def next_logits(material: Material) -> list[Case]:
    ids, layers = material.full, range(material.run.config.model.layers)
    full = Trace(material.loaded[0], ids)
    cache = torch.stack([full[f"blocks.{layer}.attn.{part}"].float().flatten(1) for layer in layers for part in "kv"])
    cache = cache.view(len(layers), 2, *cache.shape[1:])  # (L, 2, T, C)

    def case(name: str, length: int) -> Case:
        return Case(name, (ids[length], cache[:, :, :length].contiguous(), material.weights, material.heads))

    return [
        case("the first token, with nothing in the cache", 0),
        case("the second", 1),
        case("the last that the context has room for", len(ids) - 1),
    ]


CASES = {
    each.__name__: each
    for each in (
        *(count_pairs, learn_merges, encode, windows, embed, softmax, layer_norm, head, attention, mlp),
        *(gpt, cross_entropy, adamw, sample, next_logits),
    )
}
"""Of each exercise the function that gives its cases."""
