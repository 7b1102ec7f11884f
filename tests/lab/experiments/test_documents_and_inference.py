"""What a model writes against what stands in its text, and the figures of faster inference, by plain formulas and an oracle."""

import math
import random

import numpy as np
import pytest
import torch

from lab.core.errors import UserError
from lab.experiments.inference import AHEAD, BITS, bytes_read
from lab.experiments.written_text import EXCERPT, SAMPLES, as_characters, longest_stretch
from lab.runs.run_folder import Run
from models.config import ModelConfig, SamplingSettings
from models.gpt import GPT
from models.sampling import generate
from tests.lab.engine.conftest import PROMPT, make_tiny_run
from tests.lab.experiments.conftest import MakeRun, MakeTextRun, Measure, TinyRun, rows, windows, with_text
from tests.models.oracle import Oracle


@pytest.fixture(autouse=True)
def _timed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing here asserts how fast anything is."""
    monkeypatch.setattr("lab.experiments.inference.ROUNDS", 1)


def nats(tiny: TinyRun, ids: list[int], last: int) -> float:
    """The mean −ln p of the last tokens, by the oracle."""
    p = Oracle(tiny.model.state_dict(), tiny.model.config, ids).values["probability"]
    places = range(len(ids) - last - 1, len(ids) - 1)
    return float(-np.mean([math.log(p[at, ids[at + 1]]) for at in places]))


def test_a_question_s_answer_costs_what_the_oracle_says_with_it_and_without(make_run: MakeRun, measure: Measure) -> None:
    tiny = make_run(context=40)
    encode, seed = tiny.tokenizer.encode, 3
    found = measure("question", tiny, inputs={"text": "The dog ran./ Who? /The cat."}, sampling=SamplingSettings(seed=seed))
    begin, asked, answer = encode("The dog ran."), encode(" Who?"), encode(" The cat.")
    n = len(answer)
    assert found.measures["alone"] == pytest.approx(nats(tiny, begin + answer, n), abs=1e-4)
    assert found.measures["asked"] == pytest.approx(nats(tiny, begin + asked + answer, n), abs=1e-4)
    written = [
        [token.id for token in generate(tiny.model, begin + asked, n, SamplingSettings(seed=seed + at))] for at in range(4)
    ]
    costs = [nats(tiny, begin + asked + text, n) for text in written]
    assert found.measures["written"] == pytest.approx(np.mean(costs), abs=1e-4)
    assert [row[1].value for row in rows(found)[2:]] == pytest.approx(costs, abs=1e-4)
    more = float(found.measures["alone"]) - float(found.measures["asked"])
    how = "leaves this answer about as" if abs(more) < 0.05 else f"makes this answer {'more' if more > 0 else 'less'}"
    assert f"{how} probable" in found.view.sentence


@pytest.mark.parametrize("text", ["no question", "a / b", "a / b / ", "a / b / c / d", "a / b / " + "long " * 40])
def test_a_question_in_another_form_is_refused(text: str, tiny: TinyRun, measure: Measure) -> None:
    with pytest.raises(UserError, match=r"Type a beginning, a question and its answer|longer than the context"):
        measure("question", tiny, inputs={"text": text})


def test_two_names_have_the_oracle_s_probability_and_entropy_and_are_counted_in_the_text(
    text_run: MakeTextRun, measure: Measure
) -> None:
    tiny = text_run()
    ids = np.fromfile(tiny.run.path / "tokens.bin", "<u2")[: tiny.run.config.data.split].tolist()
    text = tiny.tokenizer.decode(ids)
    begins, names = ("The dog", "The Dodo"), ("dog", "Dodo")
    found = measure("two_names", tiny, inputs={"text": " / ".join(begins)})
    for at, (begin, name, row) in enumerate(zip(begins, names, rows(found)[:2], strict=True), 1):
        ids = tiny.tokenizer.encode(begin)
        p = Oracle(tiny.model.state_dict(), tiny.model.config, ids).values["probability"][-1]
        assert found.measures[f"probability_{at}"] == pytest.approx(p.max(), abs=1e-5)
        assert found.measures[f"entropy_{at}"] == pytest.approx(-(p * np.log(p)).sum(), abs=1e-4)
        times = sum(word.strip(".,?!") == name for word in text.split())
        assert (row[0].text, found.measures[f"times_{at}"]) == (name, times)
        assert f"“{name}” (found {row[1].text} ×)" in found.view.sentence
    assert found.measures["times_1"] > found.measures["times_2"] == 0
    low, own, high = (float(found.measures[name]) for name in ("entropy_low", "entropy_1", "entropy_high"))
    assert low <= float(found.measures["entropy_2"]) <= high, "the name that was typed is one of those not found"
    assert ("does not tell them apart" in found.view.sentence) is (low <= own <= high)
    assert ("lower than after each of them" in found.view.sentence) is (own < low)
    both = measure("two_names", tiny, inputs={"text": "The dog / The cat"})
    assert (len(rows(both)), "invented" in both.view.sentence) == (2, False), "both were found"
    for typed, is_said in (("The dog / The Dodo", False), ("The Dodo / The Rex", True)):
        assert ("Neither was found" in measure("two_names", tiny, inputs={"text": typed}).view.sentence) is is_said
    for typed in ("one", "the same / the same", "a / b / c"):
        with pytest.raises(UserError, match="two beginnings"):
            measure("two_names", tiny, inputs={"text": typed})


def by_hand(train: list[int], text: list[int]) -> int:
    """The length of the longest stretch of a text that stands in another, each place against each."""
    longest = 0
    for a in range(len(text)):
        for b in range(len(train)):
            n = 0
            while a + n < len(text) and b + n < len(train) and text[a + n] == train[b + n]:
                n += 1
            longest = max(longest, n)
    return longest


@pytest.mark.parametrize("symbols", [2, 5, 60_000])
def test_the_longest_stretch_is_that_of_trying_every_place(symbols: int) -> None:
    draw = random.Random(symbols)
    for _ in range(20):
        train, text = ([draw.randrange(symbols) for _ in range(n)] for n in (120, 15))
        text[4:9] = train[50:55]
        start, length = longest_stretch(as_characters(np.array(train)), as_characters(np.array(text)))
        assert length == by_hand(train, text)
        assert str(text[start : start + length])[1:-1] in str(train)
    assert longest_stretch("abc", "xyz") == (0, 0)


def test_copied_stretches_are_those_of_samples_and_of_the_validation_text(text_run: MakeTextRun, measure: Measure) -> None:
    tiny = text_run()
    found = measure("copied_stretches", tiny)
    ids = np.fromfile(tiny.run.path / "tokens.bin", "<u2").tolist()
    train, begin = ids[: tiny.run.config.data.split], tiny.tokenizer.encode(PROMPT)
    passages = windows(tiny, "validation text", SAMPLES, 17)[:, 1:].tolist()
    settings = [SamplingSettings(seed=seed) for seed in range(SAMPLES)]
    samples = [[token.id for token in generate(tiny.model, begin, 16, each)] for each in settings]
    lengths = [[by_hand(train, text) for text in texts] for texts in (samples, passages)]
    assert [found.measures["sampled"], found.measures["held_out"]] == [np.mean(each) for each in lengths]
    for table, each in zip(found.view.blocks, lengths, strict=True):
        assert [int(row[0].text) for row in table.rows] == sorted(each, reverse=True)
    error = math.sqrt(sum(np.var(each, ddof=1) / len(each) for each in lengths))
    assert found.measures["more_in_errors"] == pytest.approx((np.mean(lengths[0]) - np.mean(lengths[1])) / max(error, 1e-9))
    assert EXCERPT > 0


@pytest.mark.parametrize(("unit", "count"), [("tokens", 16), ("texts", 32)])
def test_a_table_of_tokens_at_once_doubles_and_its_figures_follow_from_its_times(
    unit: str, count: int, tiny: TinyRun, measure: Measure
) -> None:
    found = measure("tokens_at_once", tiny, inputs={"unit": unit})
    seconds = {int(row[0].text): row[1].value for row in rows(found)}
    assert list(seconds)[: count.bit_length()] == [1 << at for at in range(count.bit_length())]
    last = max(seconds)
    assert found.measures["longer"] == pytest.approx(seconds[last] / seconds[1])
    assert found.measures["ratio"] == pytest.approx(last * seconds[1] / seconds[last])
    assert [row[2].value for row in rows(found)] == pytest.approx([n / each for n, each in seconds.items()])


def test_the_bytes_of_a_token_are_the_weights_it_needs_and_the_rows_that_are_kept(tiny: TinyRun, measure: Measure) -> None:
    config = ModelConfig(layers=3, heads=2, width=10, context=20, vocab_size=50)
    weights = sum(weight.numel() for weight in GPT(config).parameters())
    assert bytes_read(config) == (4 * (weights - 19 * 10), 4 * 20 * 3 * 2 * 10)
    found = measure("memory_bound", tiny)
    assert rows(found)[0][1].value == sum(bytes_read(tiny.model.config))
    for row, share in zip(rows(found), (found.measures["share"], found.measures["larger_share"]), strict=True):
        rate = float(found.measures["bandwidth"]) / row[1].value  # so that the row on a narrow screen can be checked
        assert row[3].value == pytest.approx(rate)
        assert share == pytest.approx(1 / row[4].value / rate)


def test_perplexity_with_fewer_bits_is_that_of_weights_rounded_by_hand(text_run: MakeTextRun, measure: Measure) -> None:
    tiny = text_run()
    found = measure("fewer_bits", tiny).measures
    texts = windows(tiny, "validation text", 64, 17).tolist()
    linear = [name for name in tiny.model.state_dict() if name.endswith(("c_attn.weight", "c_proj.weight", "c_fc.weight"))]
    total = sum(weight.numel() for weight in tiny.model.parameters())
    rounded = sum(tiny.model.state_dict()[name].numel() for name in linear)
    outputs = sum(len(tiny.model.state_dict()[name]) for name in linear)
    for bits in BITS:
        state = {name: weight.double().clone() for name, weight in tiny.model.state_dict().items()}
        for name in linear if bits < 32 else []:
            for row in state[name]:
                scale = float(row.abs().max()) / (2 ** (bits - 1) - 1)
                row.copy_(torch.tensor([round(float(x) / scale) * scale for x in row]))
        models = [Oracle(state, tiny.model.config, text[:-1]).values["probability"] for text in texts]
        losses = [-math.log(p[at, text[at + 1]]) for p, text in zip(models, texts, strict=True) for at in range(16)]
        assert found[f"perplexity_{bits}"] == pytest.approx(math.exp(np.mean(losses)), rel=1e-4), bits
        size = 4 * total if bits == 32 else 4 * (total - rounded + outputs) + rounded * bits // 8
        assert found[f"bytes_{bits}"] == size
    assert found["rise_8"] == pytest.approx(float(found["perplexity_8"]) / float(found["perplexity_32"]) - 1)


def passes_by_hand(text: list[int], begin: list[int], plain: list[int]) -> int:
    """Passes for a greedy text that is known, with the most frequent token after the last two, or the last one, as proposals."""
    done = passes = 0
    while done < len(plain):
        ids, right = begin + plain[:done], 0
        for _ in range(min(AHEAD, len(plain) - done - 1)):
            ends = [at for at in range(len(text) - 1) if text[at] == ids[-1]]
            ends = [at for at in ends if at and text[at - 1] == ids[-2]] or ends
            after = [text[at + 1] for at in ends]
            guess = min(set(after), key=lambda token: (-after.count(token), token)) if after else 0
            if guess != plain[done + right]:
                break
            ids, right = [*ids, guess], right + 1
        done, passes = done + right + 1, passes + 1
    return passes


def test_speculative_decoding_gives_the_same_text_in_the_passes_that_its_drafts_save(
    text_run: MakeTextRun, measure: Measure, tmp_path_factory: pytest.TempPathFactory
) -> None:
    tiny = text_run(context=32)
    found = measure("speculative_decoding", tiny)
    ids = np.fromfile(tiny.run.path / "tokens.bin", "<u2").tolist()[: tiny.run.config.data.split]
    begin = tiny.tokenizer.encode(PROMPT)
    plain = [token.id for token in generate(tiny.model, begin, 16, SamplingSettings(greedy=True))]
    assert (found.measures["same"], found.measures["tokens"]) == (True, 16)
    assert found.measures["passes"] == passes_by_hand(ids, begin, plain)
    assert [row[0].text for row in rows(found)] == ["none, greedy", "the text's counts, greedy", "the text's counts, sampled"]
    assert "the same, token for token" in found.view.sentence
    home = tiny.run.path.parent
    make_tiny_run(home, "half", layers=1, context=32)
    (home / "broken").mkdir()
    (home / "broken" / "config.json").write_text("{")
    found = measure("speculative_decoding", tiny)
    assert [row[0].text for row in rows(found)][3:] == ["run half, greedy", "run half, sampled"]
    assert found.measures["same"] is True
    with pytest.raises(UserError, match="context of tiny is too short"):
        measure("speculative_decoding", with_text(make_tiny_run(tmp_path_factory.mktemp("short"), context=8)))
    assert Run(home / "half").config.model.layers == 1
