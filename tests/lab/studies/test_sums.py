"""The study of sums: examples, what is kept out, shares and the lens recomputed, and what the recorded result says."""

import random

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from lab.studies import sums
from lab.studies.study_job import Line, Record, Rows, StudyHistory, recorded_seeds
from lab.studies.sums import AT_ONCE, BLANK, COUNTS, END, EQUALS, LONGER, WAYS, WRITTEN, Sizes, example, lens, share_right, study
from lab.training.posttraining.sft_and_rl import train
from models.config import ModelConfig
from models.gpt import GPT
from tests.lab.conftest import one_core

__all__ = ["one_core"]
pytestmark = pytest.mark.usefixtures("one_core")

TINY = Sizes(asked=5, steps=6, tokens=60, width=16, evaluations=3)


@pytest.mark.parametrize(
    ("terms", "at_once", "written"),
    [((7, 5), [2], [7, 12, 2]), ((0, 0, 9), [9], [0, 0, 9, 9]), ((9,) * 6, [4], [9, 18, 27, 36, 45, 54, 4])],
)
def test_an_example_has_the_last_digit_at_once_or_after_the_running_sums(
    terms: tuple[int, ...], at_once: list[int], written: list[int]
) -> None:
    prompt = [*terms, *[BLANK] * (6 - len(terms)), EQUALS]
    assert example(terms, AT_ONCE) == (prompt, [*at_once, END])
    assert example(terms, WRITTEN) == (prompt, [*written, END])


def plain_streams(model: GPT, ids: list[int]) -> list[Tensor]:
    """The residual stream at the last position, from formulas: embeddings, then after each attention and MLP."""

    def norm(x: Tensor, layer: torch.nn.LayerNorm) -> Tensor:
        centred = x - x.mean(-1, keepdim=True)
        return centred / torch.sqrt((centred**2).mean(-1, keepdim=True) + 1e-5) * layer.weight + layer.bias

    x = model.wte.weight[ids] + model.wpe.weight[: len(ids)]  # (T, C)
    found = [x[-1]]
    mask = torch.triu(torch.ones(len(ids), len(ids), dtype=torch.bool), 1)
    for block in model.blocks:
        qkv = norm(x, block.ln_1) @ block.attn.c_attn.weight.T + block.attn.c_attn.bias
        heads = []
        for q, k, v in zip(*(part.chunk(block.attn.heads, -1) for part in qkv.chunk(3, -1)), strict=True):
            scores = (q @ k.T / q.shape[1] ** 0.5).masked_fill(mask, -torch.inf)
            heads.append(torch.softmax(scores, -1) @ v)
        x = x + torch.cat(heads, -1) @ block.attn.c_proj.weight.T + block.attn.c_proj.bias
        found.append(x[-1])
        hidden = F.gelu(norm(x, block.ln_2) @ block.mlp.c_fc.weight.T + block.mlp.c_fc.bias, approximate="tanh")
        x = x + hidden @ block.mlp.c_proj.weight.T + block.mlp.c_proj.bias
        found.append(x[-1])
    return [norm(stream, model.ln_f) @ model.wte.weight.T for stream in found]


@torch.no_grad()
def test_shares_and_lens_equal_those_from_plain_formulas() -> None:
    model = GPT(ModelConfig(layers=2, heads=4, width=16, context=16, vocab_size=END + 1), seed=4)
    for weight in model.parameters():
        weight.mul_(8.0 if weight.dim() == 2 else 1.0)  # so that the answers differ
    asked = [tuple(random.Random(seed).choices(range(10), k=3)) for seed in range(12)]
    for way in WAYS:
        by_stream, right = [0.0] * 5, 0
        for terms in asked:
            prompt, answer = example(terms, way)
            logits = plain_streams(model, [*prompt, *answer[:-2]])
            by_stream = [
                share + (int(each.argmax()) == sum(terms) % 10) / 12 for share, each in zip(by_stream, logits, strict=True)
            ]
            written = list[int]()
            while len(written) < 8 and END not in written:
                written.append(int(plain_streams(model, [*prompt, *written])[-1].argmax()))
            right += written[-2:] == [sum(terms) % 10, END]
        assert lens(model, asked, way) == pytest.approx(by_stream)
        assert share_right(model, asked, way) == right / 12


def test_both_train_on_the_same_number_of_tokens_and_not_on_the_sums_that_are_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    batches, asked = list[list[tuple[list[int], list[int]]]](), set[tuple[int, ...]]()
    share = sums.share_right

    def kept(model: GPT, draw: object, *args: object, **more: object) -> object:
        def draw_and_keep() -> object:
            batches.append(draw())  # type: ignore[operator]
            return batches[-1]

        return train(model, draw_and_keep, *args, **more)  # type: ignore[arg-type]

    def noted(model: GPT, some: list[tuple[int, ...]], way: str) -> float:
        asked.update(some)
        return share(model, some, way)

    monkeypatch.setattr(sums, "train", kept)
    monkeypatch.setattr(sums, "share_right", noted)
    lines = list[Line]()
    study(Record(lines.append, 3), TINY)
    history = StudyHistory()
    history.add(lines)
    lengths = [sum(len(prompt) + len(answer) for prompt, answer in batch) for batch in batches]
    assert all(60 <= length < 60 + 15 for length in lengths)
    seen = {tuple(id_ for id_ in prompt if id_ < 10) for batch in batches for prompt, _ in batch}
    assert not {terms for terms in asked if len(terms) > 2} & seen
    assert [len(batches), history.measures["at_once_tokens"]] == [6 + 6 + 24, sum(lengths[:6])]
    assert history.measures["longer_tokens"] == sum(lengths[12:]), "four times as many steps, at once"
    assert {len(answer) for batch in batches[12:] for _, answer in batch} == {2}
    for name, way in (("at_once", AT_ONCE), ("written", WRITTEN), ("longer", LONGER)):
        assert history.curves["terms"][way] == [(count, history.measures[f"{name}_{count}"]) for count in COUNTS]
        assert history.curves["training"][way][-1][1] == history.measures[f"{name}_6"]
    assert history.share == 1.0
    assert list(history.views) == list(dict.fromkeys(("examples", "terms", "training", "lens")))


def test_the_recorded_result_has_what_the_lesson_says() -> None:
    for each in recorded_seeds("sums"):
        has_what_the_lesson_says(each)


def has_what_the_lesson_says(history: StudyHistory) -> None:
    found = {name: float(value) for name, value in history.measures.items()}
    assert found["lead_6"] == found["written_6"] - found["at_once_6"] > 0.1
    assert found["at_once_3"] > found["at_once_6"], "at once, six terms come later than three"
    assert found["longer_6"] > 0.9, "the same layers learn six terms at once when they are trained longer"
    assert all(found[f"written_{count}"] > 0.9 for count in COUNTS)
    table = history.views["lens"]
    assert isinstance(table, Rows)
    assert table.columns == ("terms", "embeddings", "attention 1", "MLP 1", "attention 2", "MLP 2")
    by_row = {row[0]: [float(share) for share in row[1:]] for row in table.rows}
    assert by_row["at once: 6"][-1] == pytest.approx(found["at_once_6"]), "the last column is the model's own answer"
    assert by_row["written out: 6"][-1] > by_row["at once: 6"][-1]
