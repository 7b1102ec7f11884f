"""`llmlab generate`, `trace` and what else asks a run's model, on a run with random weights."""

import json
import math
from math import inf
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch

from lab.cli.commands.generate_command import until_stop
from lab.data.token_file import TokenFile, token_dtype
from lab.planning.device import generation_device
from lab.runs.find_runs import open_run
from lab.runs.run_folder import Run
from lab.runs.weights_file import load_model, save_best
from models.config import PRESETS, SamplingSettings
from models.decoding import HalfMatrices, OneTokenDecoder, half_matrices
from models.gpt import GPT, KVCache
from models.sampling import generate
from models.tokenizers.tokenizer import Tokenizer
from models.trace import Trace
from tests.fixture_types import Call

CONTEXT = 16


@pytest.fixture
def run(empty_run) -> Run:
    run = empty_run("tale")
    save_best(run, GPT(run.config.model, seed=1), step=7, val_loss=1.0)
    Tokenizer.bytes_().save(run.tokenizer_path)
    return run


@pytest.fixture
def model(run: Run) -> GPT:
    return GPT(run.config.model, seed=1).eval()


def test_generate_writes_what_sampling_draws_the_same_for_the_same_seed_only_and_greedy_for_all(
    llmlab: Call, run: Run, model: GPT
) -> None:
    of_sampling = ("--temperature", "0.7", "--top-k", "50", "--top-p", "0.9", "--seed", "3")
    done = llmlab("generate", "tale", "-p", "The ", "-n", "40", *of_sampling)
    settings = SamplingSettings(temperature=0.7, top_k=50, top_p=0.9, seed=3)
    drawn = [token.id for token in generate(model, list(b"The "), 40, settings)]
    assert done == (0, "The " + bytes(drawn).decode(errors="replace") + "\n", "")

    def written(*options: str) -> str:
        return str(llmlab("generate", run.path, "-p", "a", "-n", "12", *options).out)

    alone = [written("--seed", seed) for seed in "567"]
    assert len(set(alone)) == 3
    assert written("--seed", "5", "--samples", "3") == "".join(f"--- seed {5 + at}\n{text}" for at, text in enumerate(alone))
    assert written("--greedy") == written("--temperature", "0", "--seed", "5")
    text = alone[0].rstrip("\n")
    stop = text[4:7]
    assert written("--seed", "5", "--stop", "\0never", "--stop", stop) == text[: text.index(stop, 1)] + "\n"
    assert written("--seed", "5", "--samples", "2", "--stop", stop).startswith(f"--- seed 5\n{text[: text.index(stop, 1)]}\n---")


@pytest.mark.parametrize(
    ("pieces", "stops", "kept"),
    [
        (["The d", "og ran. Th", "en"], ["og"], "The d"),
        (["a\n", "\nb"], ["\n\n"], "a"),
        (["ab", "ac", "ad"], ["abad", "acad"], "ab"),
        (["one two"], ["two", "one"], ""),
        (["ab", "a"], ["abab"], "aba"),
        (["", "x"], [], "x"),
    ],
)
def test_a_text_ends_before_what_it_is_to_stop_at(pieces: list[str], stops: list[str], kept: str) -> None:
    assert "".join(until_stop(pieces, stops)) == kept


def test_bf16_is_for_those_who_ask_for_it(llmlab: Call, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    held: list[bool] = []
    monkeypatch.setattr(GPT, "cast_matrices_to_bf16", lambda self: held.append(True))
    for arguments in ([], ["--precision", "fp32"], ["--precision", "bf16"]):
        assert llmlab("generate", "tale", "-p", "a", "-n", "2", *arguments).code == 0
    assert held == [True]
    monkeypatch.setattr("lab.planning.device.LARGER_THAN_CACHES", 10)
    monkeypatch.setattr("lab.planning.device.is_bf16_quicker", lambda: True)
    for arguments in ([], ["--greedy"], ["--samples", "2"]):
        assert llmlab("generate", "tale", "-p", "a", "-n", "2", *arguments).code == 0
    assert held == [True], "also of a large model on a processor that multiplies bf16"


@torch.inference_mode()
def perplexity(model: GPT, ids: list[int], halves: HalfMatrices | None) -> float:
    """Of the last half of each window of the context, written token by token."""
    context, nats = model.config.context, []
    for start in range(0, len(ids) - context, context):
        window = ids[start : start + context + 1]
        cache = KVCache(model.config)
        model.hidden(torch.tensor([window[: context // 2]]), cache)
        decoder = OneTokenDecoder(model, cache, halves)
        half = range(context // 2, context)
        nats += [-float(decoder.logits(window[at]).double().log_softmax(-1)[window[at + 1]]) for at in half]
    return math.exp(sum(nats) / len(nats))


@pytest.mark.parametrize(("form", "most"), [(torch.float16, 0.001), (torch.bfloat16, 0.004)])
def test_another_form_leaves_the_perplexity_of_a_trained_model_as_it_is(
    monkeypatch: pytest.MonkeyPatch, form: torch.dtype, most: float
) -> None:
    monkeypatch.setattr("models.decoding.ONE_THREAD_UP_TO", 0)
    monkeypatch.setattr("models.decoding.GAIN", inf)
    monkeypatch.setattr("models.decoding.FORMS", (form,))
    found = open_run("demo")
    model, _ = load_model(found, "best")
    ids = TokenFile(found.tokens_path, token_dtype(model.config.vocab_size))[-8 * model.config.context :].tolist()
    exact, low = (perplexity(model, ids, halves) for halves in (None, half_matrices(model)))
    assert low != exact
    assert low == pytest.approx(exact, rel=most)


def test_weights_of_a_large_model_are_read_in_fp16_unless_another_precision_is_asked_for(
    llmlab: Call, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[bool] = []

    def halves(model: GPT) -> HalfMatrices | None:
        found = half_matrices(model)
        made.append(found is not None)
        return found

    monkeypatch.setattr("models.decoding.half_matrices", halves)
    for up_to in (10**9, 0):  # small, then large
        monkeypatch.setattr("models.decoding.ONE_THREAD_UP_TO", up_to)
        monkeypatch.setattr("models.decoding.GAIN", inf)
        for arguments in (["--precision", "fp32"], [], ["--seed", "3"]):
            texts = {llmlab("generate", "tale", "-p", "a", "-n", "9", *arguments).out for _ in range(2)}
            assert len(texts) == 1
    assert made == [False] * 4 + [True] * 4


def test_weights_whose_logits_are_not_finite_are_one_sentence(llmlab: Call, run: Run, model: GPT) -> None:
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(1e20)
    save_best(run, model, step=8, val_loss=0.5)
    for several in ([], ["--samples", "2"]):
        done = llmlab("generate", "tale", "-p", "a", "-n", "2", *several)
        assert (done.code, done.err.count("\n")) == (2, 1)
        assert "The logits are NaN or infinite" in done.err


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (torch.OutOfMemoryError("CUDA out of memory."), "cuda has no room for this model"),
        (RuntimeError("CUDA error: all CUDA-capable devices are busy or unavailable"), "cuda is in use by another process"),
    ],
    ids=["full", "taken"],
)
def test_a_card_that_is_full_or_taken_leaves_the_work_to_the_processor(
    error: RuntimeError, said: str, llmlab: Call, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = llmlab("generate", "tale", "-p", "a", "-n", "5").out
    to = GPT.to

    def full(self: GPT, where: torch.device | str) -> GPT:
        if torch.device(where).type == "cuda":
            raise error
        return to(self, where)

    monkeypatch.setattr(GPT, "to", full)
    monkeypatch.setattr("lab.cli.commands.generate_command.generation_device", lambda asked, config: torch.device("cuda"))
    assert llmlab("generate", "tale", "-p", "a", "-n", "5").out == alone
    llmlab("generate", "tale", "-p", "a", "-n", "5", "--device", "cuda").assert_mistake(said, "--device cpu")


def test_the_device_is_the_one_that_is_asked_for_or_a_gpu_for_large_models(
    llmlab: Call, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, asked = (llmlab("generate", "tale", "-p", "The ", "-n", "5", *more) for more in ((), ("--device", "cpu")))
    assert asked.out == plain.out
    monkeypatch.setattr("lab.planning.device.no_cuda_reason", lambda: "this machine shows no NVIDIA GPU")
    refused = llmlab("generate", "tale", "-p", "The ", "--device", "cuda")
    refused.assert_mistake("device cuda cannot be used: this machine shows no NVIDIA GPU; use --device cpu.")
    monkeypatch.setattr("lab.planning.device.has_cuda", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    has_code = True

    def zeros(*shape: int, device: str) -> torch.Tensor:
        if not has_code:
            raise RuntimeError("CUDA error: no kernel image is available for execution on the device")
        return torch.ones(*shape)

    monkeypatch.setattr(torch, "zeros", zeros)
    small, large = (PRESETS[name].config(50257) for name in ("nano", "gpt2"))
    assert [generation_device("auto", shape).type for shape in (small, large)] == ["cpu", "cuda"]
    has_code = False
    assert generation_device("auto", large).type == "cpu", "this torch was built for other cards"
    has_code = True
    monkeypatch.setattr("lab.planning.device.has_cuda", lambda: False)
    assert generation_device("auto", large).type == "cpu"


def test_a_prompt_longer_than_the_context_is_windowed_and_said_so(llmlab: Call, run: Run) -> None:
    done = llmlab("generate", "tale", "-p", "x" * 20, "-n", "2")
    words = "the prompt has 20 tokens and the context of tale is 16: the model sees the last 16, without the first 4."
    assert (done.code, done.err) == (0, f"llmlab: {words}\n")
    assert done.out.startswith("x" * 20)


MUST_BE = {
    "--temperature -1": "it must be at least 0, not -1.",
    "--temperature abc": "it must be a number at least 0, not 'abc'.",
    "--top-k -1": "it must be at least 0, not -1.",
    "--top-k 1.5": "it must be a whole number of at least 0, not '1.5'.",
    "--top-p 0": "it must be above 0 and at most 1, not 0.",
    "--top-p 2": "it must be above 0 and at most 1, not 2.",
    "--min-p 2": "it must be at least 0 and at most 1, not 2.",
    "--repetition-penalty 0.5": "it must be at least 1, not 0.5.",
}


def test_what_a_setting_must_be(llmlab: Call, run: Run) -> None:
    for setting, words in MUST_BE.items():
        option, value = setting.split()
        llmlab("generate", "tale", option, value).assert_mistake(f"llmlab: Invalid value for '{option}': {words} ")


def test_intermediates_of_a_layer_stand_for_all_and_the_prediction_comes_last(llmlab: Call, run: Run, model: GPT) -> None:
    done = llmlab("trace", "tale", "-p", "ab")
    assert done.code == 0
    for words in ("best weights, step 7", "layer 2", 'Prediction after "b"', "blocks.N.attn.pattern", "2 × 2 × 2"):
        assert words in done.out
    lines = done.out.splitlines()
    names = {line.split()[0] for line in lines if line.split()[1:2] and "×" in line}
    expected = {name.replace("blocks.0.", "blocks.N.") for name in Trace(model, [1, 2]).names() if "blocks.1" not in name}
    assert names == expected
    assert f"Intermediates, N from 0 to {model.config.layers - 1}:" in lines
    assert [line for line in lines if line.startswith("Prediction") or "×" in line][-1].startswith("Prediction")


def test_npz_holds_every_intermediate_by_name(llmlab: Call, run: Run, model: GPT, tmp_path: Path) -> None:
    file = tmp_path / "trace.npz"
    assert llmlab("trace", "tale", "-p", "The big", "--npz", file).code == 0
    traced = Trace(model, list(b"The big"))
    with np.load(file) as arrays:
        assert arrays.files == traced.names()
        for name in arrays.files:
            np.testing.assert_array_equal(arrays[name], traced[name].numpy())
    assert list(tmp_path.glob(".*")) == []


def test_json(llmlab: Call, run: Run, model: GPT) -> None:
    found = json.loads(llmlab("trace", "tale", "-p", "x" * 12 + "The big", "--json", "--top", "3").out)
    ids = (b"x" * 12 + b"The big")[-CONTEXT:]
    with torch.no_grad():
        probabilities = model(torch.tensor([list(ids)]))[0].softmax(-1)
    assert set(found) == {"run", "checkpoint", "step", "dropped", "tokens", "top", "logit_lens"}
    assert (found["run"], found["checkpoint"], found["step"], found["dropped"]) == ("tale", "best", 7, 3)
    assert [token["id"] for token in found["tokens"]] == list(ids)
    assert found["tokens"][0]["probability"] is None
    given = [float(probabilities[position, id_]) for position, id_ in enumerate(ids[1:])]
    assert [token["probability"] for token in found["tokens"][1:]] == pytest.approx(given, rel=1e-4)
    values, top = probabilities[-1].topk(3)
    assert [candidate["id"] for candidate in found["top"]] == top.tolist()
    assert [candidate["probability"] for candidate in found["top"]] == pytest.approx(values.tolist(), rel=1e-4)
    assert [row["name"] for row in found["logit_lens"]] == ["blocks.0.resid_pre", "blocks.0.resid_post", "blocks.1.resid_post"]
    last = found["logit_lens"][-1]["top"]
    assert [candidate["id"] for candidate in last] == top.tolist()
    assert [candidate["probability"] for candidate in last] == pytest.approx(values.tolist(), rel=1e-4)


def test_truncated_weights_are_named_and_others_that_could_be_taken_and_no_file_is_made(llmlab: Call, run: Run) -> None:
    best, last = run.path / "best.safetensors", run.path / "last.safetensors"
    whole = best.read_bytes()
    best.write_bytes(whole[:-100])
    before = sorted(run.path.iterdir())
    for command in ("generate", "trace"):
        llmlab(command, "tale", "-p", "a").assert_mistake("tale", "best.safetensors", "is damaged (100 bytes are missing)")
    assert sorted(run.path.iterdir()) == before
    last.write_bytes(whole)
    for command in ("generate", "trace"):
        words = "best.safetensors is damaged", "--checkpoint last takes the weights of step 7"
        llmlab(command, "tale", "-p", "a").assert_mistake(*words)
    assert llmlab("generate", "tale", "-p", "a", "--checkpoint", "last").code == 0


def test_a_run_with_an_empty_prompt_generates_from_a_newline(llmlab: Call, run: Run) -> None:
    config = run.config
    config = msgspec.structs.replace(config, train=msgspec.structs.replace(config.train, prompts=("",)))
    (run.path / "config.json").write_bytes(msgspec.json.encode(config))
    done = llmlab("generate", "tale", "-n", "3")
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith("\n")


def test_a_run_without_weights_and_one_that_does_not_exist(llmlab: Call, empty_run) -> None:
    empty_run("tale")
    llmlab("generate", "tale").assert_mistake("no weights yet")
    llmlab("generate", "tael").assert_mistake("no run called 'tael'", "did you mean tale")
    llmlab("trace", "nothing like it", "-p", "a").assert_mistake("no run called")


def test_parameters_and_tokens_of_a_run(llmlab: Call, run: Run, model: GPT) -> None:
    found = json.loads(llmlab("params", "tale", "--json").out)
    assert found["total"] == sum(weight.numel() for weight in model.parameters())
    found = json.loads(llmlab("tokenize", "--tokenizer", "tale", "ab", "--json").out)
    assert [token["id"] for token in found["tokens"]] == [97, 98]


def test_the_help_says_what_each_precision_does_and_that_training_has_another(llmlab: Call) -> None:
    told = " ".join(llmlab("generate", "--help").out.split())
    words = told.partition("--precision")[2].partition("--device")[0]
    assert all(f"{each}: " in words for each in ("auto", "fp32", "bf16"))
    assert "logits" in words
    assert "slower" in words
    assert "llmlab train" in words
