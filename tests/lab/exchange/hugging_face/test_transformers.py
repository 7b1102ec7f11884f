"""All that is held to transformers, whose import takes three seconds, so that one process does it: the model, its trace, sampling
and schedule; import and export, with the logits, ids and greedy text of odd shapes and files."""

import json
import math
import os
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from hypothesis import given, settings
from hypothesis import strategies as st

from lab.exchange.hugging_face.export_model import export_model, tokenizer_config_json, tokenizer_json
from lab.exchange.hugging_face.import_run import import_run
from lab.experiments.layer_streams import logits_with
from lab.experiments.steering import steered
from lab.inspect.model_cache import load_open_model
from lab.runs.find_runs import open_run
from lab.runs.run_folder import tokenizer_of
from lab.runs.weights_file import load_model
from models.config import SamplingSettings
from models.gpt import GPT
from models.hugging_face_weights import HEAD, own_names, to_hugging_face, turned
from models.learning_rate import schedule_factor
from models.sampling import distribution, generate
from models.tokenizers.tokenizer import Tokenizer
from models.trace import Trace
from tests.models.conftest import MakeModel, MakeTwin, random_ids
from tests.models.conftest import make_model as shared_model
from tests.models.conftest import make_twin as shared_twin

make_model, make_twin = shared_model, shared_twin

if TYPE_CHECKING:
    from transformers import GPT2LMHeadModel

TEXTS = ["Once there was a big dog.", "naïve 日本 🙂\r\n\t  x", "a<|endoftext|>b", "'ll we'll  12,345"]


pytestmark = pytest.mark.usefixtures("one_core")


def theirs(**shape: Any) -> "GPT2LMHeadModel":
    """A GPT-2 of transformers whose every weight is random, norms and biases too."""
    from transformers import GPT2Config, GPT2LMHeadModel  # here: it takes two seconds, and one process of several runs this

    settings = {"vocab_size": 256, "n_positions": 16, "n_embd": 8, "n_layer": 2, "n_head": 2, "bos_token_id": None}
    model = GPT2LMHeadModel(GPT2Config(**(settings | {"eos_token_id": None} | shape)))
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in model.parameters():
            weight += 0.15 * torch.empty(weight.shape).normal_(generator=generator)
    return model.eval()


def folder_of(model: "GPT2LMHeadModel", path: Path, tokenizer: Tokenizer | None = None, **options: Any) -> Path:
    model.save_pretrained(path, **options)
    (path / "tokenizer.json").write_text(json.dumps(tokenizer_json(tokenizer or Tokenizer.bytes_())))
    return path


def largest_difference(model: "GPT2LMHeadModel", run: Any) -> float:
    ours = load_model(run)[0]
    length = ours.config.context
    ids = torch.tensor([[(5 * i * i + 2 * i + 1) % ours.config.vocab_size for i in range(length)]])
    with torch.no_grad():
        return float((model(ids).logits - ours(ids)).abs().max())


@pytest.mark.parametrize(
    "shape",
    [
        {},
        {"n_layer": 1, "n_head": 1, "n_embd": 4, "n_positions": 1},
        {"n_layer": 3, "n_head": 7, "n_embd": 21, "n_positions": 5},
        {"n_layer": 1, "n_head": 3, "n_embd": 6, "n_inner": 24, "scale_attn_weights": True, "reorder_and_upcast_attn": True},
    ],
)
def test_logits_are_theirs(shape: dict[str, Any], tmp_path: Path) -> None:
    model = theirs(**shape)
    run = import_run(str(folder_of(model, tmp_path / "odd")), tmp_path / "home")
    assert largest_difference(model, run) <= 1e-4


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_an_imported_model_writes_the_same_100_tokens(dtype: torch.dtype, tmp_path: Path) -> None:
    model = theirs(n_positions=112, n_embd=12, n_head=3, n_layer=3)
    with torch.no_grad():
        model.transformer.wpe.weight *= 8  # else it repeats one token
    model = model.to(dtype)
    run = import_run(str(folder_of(model, tmp_path / "odd", max_shard_size="4KB")), tmp_path / "home")
    assert (tmp_path / "odd" / "model.safetensors.index.json").exists()
    model, prompt = model.float(), [5, 200, 17]
    assert largest_difference(model, run) <= 1e-4, "held in fp32"
    drawn = [each.id for each in generate(load_model(run)[0], prompt, 100, SamplingSettings(greedy=True))]
    written = model.generate(torch.tensor([prompt]), max_new_tokens=100, do_sample=False, pad_token_id=0)
    assert written[0, 3:].tolist() == drawn
    assert len(set(drawn)) > 20, "no model that repeats one token"


@pytest.mark.usefixtures("pickles_are_read")
def test_old_and_wrapped_files_are_read(tmp_path: Path) -> None:
    model = theirs()
    folder = folder_of(model, tmp_path / "old")
    (folder / "model.safetensors").unlink()
    state = {f"_orig_mod.{name}": weight for name, weight in model.state_dict().items()}
    state["_orig_mod.transformer.h.0.attn.bias"] = torch.ones(1, 1, 16, 16, dtype=torch.uint8)
    state["_orig_mod.transformer.h.0.attn.masked_bias"] = torch.tensor(-1e4)
    torch.save(state, folder / "pytorch_model.bin")
    assert largest_difference(model, import_run(str(folder), tmp_path / "home", convert_pickle=True)) <= 1e-4


def home_made(path: Path, kind: str) -> None:
    """A tokenizer written by transformers or tokenizers itself."""
    from tokenizers import ByteLevelBPETokenizer
    from transformers import AutoTokenizer, GPT2Tokenizer, PreTrainedTokenizerFast

    learned = ByteLevelBPETokenizer()
    special = ["<s>", "<pad>", "</s>"] if kind == "special tokens first" else ["<|endoftext|>"]
    learned.train_from_iterator(TEXTS * 9, vocab_size=300, special_tokens=special, show_progress=False)
    if kind == "special tokens first":
        PreTrainedTokenizerFast(tokenizer_object=learned._tokenizer).save_pretrained(path)
        return
    if kind == "two files":
        learned.save_model(str(path))
        (path / "added_tokens.json").write_text('{"[PAD]": 300}')
        settings = {"added_tokens_decoder": {"300": {"content": "[PAD]", "lstrip": False, "special": True}}}
        (path / "tokenizer_config.json").write_text(json.dumps(settings))
        return
    content = json.loads(learned.to_str())["model"]
    ordinary = {token: id - 1 for token, id in content["vocab"].items() if id}
    merges = [tuple(pair) for pair in content["merges"]]
    made = GPT2Tokenizer(vocab=ordinary, merges=merges)
    if kind == "resaved":
        (path / "tokenizer.json").write_text(json.dumps(tokenizer_json(Tokenizer.bytes_())))
        (path / "tokenizer_config.json").write_text(json.dumps(tokenizer_config_json(Tokenizer.bytes_(), 16)))
        made = AutoTokenizer.from_pretrained(path)
    elif kind == "learned anew":
        made = made.train_new_from_iterator(TEXTS * 9, 290, show_progress=False)
    elif kind == "padded":
        made = GPT2Tokenizer(vocab=content["vocab"], merges=merges)
        made.add_special_tokens({"pad_token": "[PAD]"})
    made.save_pretrained(path)


@pytest.mark.parametrize(
    ("kind", "rows", "special"),
    [
        ("resaved", 256, {}),
        ("vocab and merges", 300, {"<|endoftext|>": 299}),
        ("learned anew", 290, {"<|endoftext|>": 0}),
        ("padded", 320, {"<|endoftext|>": 0, "[PAD]": 300}),
        ("two files", 301, {"<|endoftext|>": 0, "[PAD]": 300}),
        ("special tokens first", 300, {"<s>": 0, "<pad>": 1, "</s>": 2}),
    ],
)
def test_what_transformers_writes_is_imported_with_its_ids(kind: str, rows: int, special: dict[str, int], tmp_path: Path) -> None:
    """The rows of the embedding that no token has stay, so that the logits are theirs; an export gives the ids once more."""
    from transformers import AutoTokenizer

    model = theirs(vocab_size=rows)
    (tmp_path / "made").mkdir()
    model.save_pretrained(tmp_path / "made")
    home_made(tmp_path / "made", kind)
    run = import_run(str(tmp_path / "made"), tmp_path / "home")
    ours = tokenizer_of(run)
    assert (ours.special, ours.vocab_size) == (special, rows)
    assert largest_difference(model, run) <= 1e-4
    export_model(run, tmp_path / "out")
    for folder in ("made", "out"):
        tokens = AutoTokenizer.from_pretrained(tmp_path / folder)
        for text in [*TEXTS, "a[PAD]b", "".join(special)]:
            assert tokens(text)["input_ids"] == ours.encode(text, special=True), (folder, text)
        unused = sorted(set(range(rows)) - set(tokens.get_vocab().values()))
        assert tokens.decode([*range(rows)]) == ours.decode([*range(rows)])
        assert [ours.kind_of(id) for id in unused] == ["unused"] * len(unused)


def test_a_pipeline_writes_up_to_the_context(exported: Path, tmp_path: Path) -> None:
    from transformers import pipeline

    folder = folder_of(theirs(vocab_size=257), tmp_path / "in", Tokenizer.bytes_(end_of_text=True))
    export_model(import_run(str(folder), tmp_path), tmp_path / "out")
    for folder, context in ((exported, 128), (tmp_path / "out", 16)):
        write = pipeline("text-generation", model=str(folder))
        for prompt in ("Once there was", "O"):
            (written,) = write(prompt, return_tensors=True)
            assert len(written["generated_token_ids"]) <= context
        assert write.tokenizer.pad_token == write.tokenizer.eos_token
    assert len(write(["Once", "O"], batch_size=2)) == 2


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exported") / "demo"
    export_model(open_run("demo"), folder)
    return folder


def test_an_exported_run_gives_the_same_logits_ids_and_text(exported: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    run = open_run("demo")
    twin, tokens = AutoModelForCausalLM.from_pretrained(exported), AutoTokenizer.from_pretrained(exported)
    ours = tokenizer_of(run)
    assert largest_difference(twin.eval(), run) <= 1e-4
    for text in TEXTS:
        assert tokens(text)["input_ids"] == ours.encode(text, special=True)
    assert len(tokens) == ours.vocab_size
    model = load_model(run)[0]
    prompt = ours.encode("Once there was a big dog")
    drawn = [each.id for each in generate(model, prompt, 100, SamplingSettings(greedy=True))]
    written = twin.generate(torch.tensor([prompt]), max_new_tokens=100, do_sample=False, pad_token_id=0)
    assert len(prompt) + 100 <= model.config.context
    assert written[0, len(prompt) :].tolist() == drawn


def test_another_vocabulary_opens_with_its_end_of_text(tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = Tokenizer.bytes_(end_of_text=True)
    model = theirs(vocab_size=tokenizer.vocab_size)
    run = import_run(str(folder_of(model, tmp_path / "in", tokenizer)), tmp_path / "home")
    assert run.config.tokenizer.kind == tokenizer.kind
    export_model(run, tmp_path / "out")
    tokens = AutoTokenizer.from_pretrained(tmp_path / "out")
    config = AutoModelForCausalLM.from_pretrained(tmp_path / "out").config
    assert tokens.eos_token_id == tokenizer.end_of_text == config.eos_token_id
    for text in TEXTS:
        assert tokens(text)["input_ids"] == tokenizer.encode(text, special=True)


@pytest.mark.skipif(find_spec("transformer_lens") is None, reason="needs the extra transformer-lens")
def test_transformer_lens_opens_it_and_its_cache_is_our_trace(exported: Path) -> None:
    from transformer_lens.model_bridge import TransformerBridge

    opened = load_open_model(open_run("demo"), "best")
    ids = opened.tokenizer.encode("Once there was a big dog")
    bridge = TransformerBridge.boot_transformers(str(exported), device="cpu")
    with torch.no_grad():
        logits, cache = bridge.run_with_cache(torch.tensor([ids]))
    found = {"hook_logits": logits[0]} | {name: value[0] for name, value in dict(cache).items()}
    trace = Trace(opened.model, ids)
    for name in trace.names():
        before, dot, last = name.rpartition(".")
        if last != "scores_raw":  # the lab's own
            value, finite = found[f"{before}{dot}hook_{last}"], trace[name].isfinite()
            assert value.shape == trace[name].shape, name
            assert (trace[name] - value)[finite].abs().max() <= 1e-4, name


def test_the_lines_of_the_model_card_generate_a_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    export_model(open_run("demo"), tmp_path / "out")
    lines = (tmp_path / "out" / "README.md").read_text().partition("```python\n")[2].partition("```")[0]
    exec(lines.replace("path/of/this/folder", str(tmp_path / "out")), {})
    text = capsys.readouterr().out
    assert text.startswith("The")
    assert len(text) > 50


SHAPES = [
    {"layers": 1, "heads": 1, "width": 4, "context": 3, "vocab_size": 5},
    {"layers": 2, "heads": 2, "width": 8, "context": 16, "vocab_size": 23},
    {"layers": 3, "heads": 4, "width": 32, "context": 40, "vocab_size": 61},
    {"layers": 4, "heads": 3, "width": 48, "context": 150, "vocab_size": 512},
    {"layers": 6, "heads": 8, "width": 64, "context": 33, "vocab_size": 257},
]


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: f"{shape['layers']}x{shape['width']}")
def test_logits_of_batches_are_hugging_faces(make_model: MakeModel, make_twin: MakeTwin, shape: dict[str, int]) -> None:
    for seed in range(3):
        model = make_model(seed, **shape)
        ids = random_ids(model, 1 + seed, max(1, shape["context"] >> (seed % 2)), seed)
        with torch.no_grad():
            assert (model(ids) - make_twin(model)(ids).logits).abs().max() <= 1e-4, seed


def test_gradients_are_hugging_faces(make_model: MakeModel, make_twin: MakeTwin) -> None:
    model = make_model(3, **SHAPES[2])
    ids, targets = random_ids(model, 3, 40, 1), random_ids(model, 3, 40, 2)
    targets[0, :7] = -100
    twin = make_twin(model)
    loss, expected = model.loss(ids, targets), F.cross_entropy(twin(ids).logits.flatten(0, 1), targets.flatten())
    loss.backward()  # type: ignore[no-untyped-call]
    expected.backward()
    assert loss.item() == pytest.approx(expected.item(), abs=1e-5)
    twins = {name: weight.grad for name, weight in twin.named_parameters()}
    for name, grad in to_hugging_face({name: weight.grad for name, weight in model.named_parameters()}).items():
        if name in twins:  # the tied head is no parameter of its own
            assert (grad - twins[name]).abs().max() <= 1e-5, name


def from_hugging_face(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {own: turned(own, state[name]) for name, own in own_names(state).items() if own != HEAD}


def equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_weights_come_back_from_hugging_faces_layout_and_theirs_from_ours(make_model: MakeModel, make_twin: MakeTwin) -> None:
    model = make_model()
    state, theirs = model.state_dict(), make_twin(model).state_dict()
    assert equal(from_hugging_face(to_hugging_face(state)), state)
    ours = GPT(model.config, seed=None)
    ours.load_state_dict(from_hugging_face(theirs))
    assert equal(to_hugging_face(ours.state_dict()), theirs)


def test_the_released_file_s_masks_and_names_without_prefix_are_read(make_model: MakeModel) -> None:
    state = make_model().state_dict()
    written = to_hugging_face(state)
    released = {name.removeprefix("transformer."): weight for name, weight in written.items()}
    released["h.0.attn.bias"] = torch.ones(1, 1, 16, 16)
    released["h.0.attn.masked_bias"] = torch.tensor(-1e4)
    del released["lm_head.weight"]
    assert equal(from_hugging_face(released), state)


def test_streams_patterns_and_logits_are_hugging_faces(make_model: MakeModel, make_twin: MakeTwin) -> None:
    model = make_model(1, layers=3, heads=4, width=32, context=24, vocab_size=61)
    ids = [(7 * i * i + 3 * i) % 61 for i in range(19)]
    trace = Trace(model, ids)
    with torch.no_grad():
        out = make_twin(model)(torch.tensor([ids]), output_hidden_states=True, output_attentions=True)
    for layer in range(3):
        assert (trace[f"blocks.{layer}.resid_pre"] - out.hidden_states[layer][0]).abs().max() <= 1e-4
        assert (trace[f"blocks.{layer}.attn.pattern"] - out.attentions[layer][0]).abs().max() <= 1e-5
    assert (trace["ln_final.out"] - out.hidden_states[3][0]).abs().max() <= 1e-4
    assert (trace["logits"] - out.logits[0]).abs().max() <= 1e-4


def test_the_learning_rate_is_hugging_faces_cosine_with_warm_up() -> None:
    from transformers import get_cosine_with_min_lr_schedule_with_warmup

    steps, warmup, final = 200, 20, 0.1
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    schedule = get_cosine_with_min_lr_schedule_with_warmup(optimizer, warmup, steps, min_lr_rate=final)
    for step in range(steps + 1):
        assert schedule_factor("cosine", step / steps, warmup / steps, final) == pytest.approx(
            schedule.get_last_lr()[0], abs=1e-12
        )
        optimizer.step()
        schedule.step()


@settings(max_examples=60, deadline=None)
@given(
    gaps=st.lists(st.floats(0.01, 2.0), min_size=2, max_size=40),
    shuffle=st.randoms(use_true_random=False),
    temperature=st.floats(0.2, 3.0),
    top_k=st.integers(1, 45),
    top_p=st.floats(0.05, 0.999),
    min_p=st.floats(0.001, 0.9),
    penalty=st.floats(1.01, 3.0),
)
def test_filters_are_hugging_faces(
    gaps: list[float], shuffle, temperature: float, top_k: int, top_p: float, min_p: float, penalty: float
) -> None:
    from transformers import (
        MinPLogitsWarper,
        RepetitionPenaltyLogitsProcessor,
        TemperatureLogitsWarper,
        TopKLogitsWarper,
        TopPLogitsWarper,
    )

    values = list(np.cumsum(gaps) - sum(gaps) / 2)  # no two equal: on a tie Hugging Face's top-k keeps more than k
    shuffle.shuffle(values)
    logits = torch.tensor(values, dtype=torch.float64)
    window = [0, len(values) - 1, 0]
    scores = RepetitionPenaltyLogitsProcessor(penalty)(torch.tensor([window]), logits[None])
    for warper in (
        TemperatureLogitsWarper(temperature),
        TopKLogitsWarper(top_k),
        TopPLogitsWarper(top_p),
        MinPLogitsWarper(min_p),
    ):
        scores = warper(None, scores)
    chosen = distribution(logits, SamplingSettings(temperature, top_k, top_p, min_p, penalty), window)
    assert torch.equal(chosen.kept, scores[0] > -math.inf)
    assert (chosen.after - scores[0].softmax(-1)).abs().max() < 1e-12
    assert (chosen.before - logits.softmax(-1)).abs().max() < 1e-12


def test_what_is_added_is_what_a_hook_in_hugging_face_adds_and_what_is_taken_out_is_gone(
    make_model: MakeModel, make_twin: MakeTwin
) -> None:
    model = make_model(2, layers=2, heads=2, width=16, context=16, vocab_size=31)
    twin = make_twin(model)
    ids, added = torch.tensor([[3, 14, 15, 9, 2]]), torch.randn(16, generator=torch.Generator().manual_seed(0))
    own = logits_with(model, ids, {0: steered(added)})
    twin.transformer.h[0].register_forward_hook(
        lambda _, __, out: (out[0] + added, *out[1:]) if isinstance(out, tuple) else out + added
    )
    with torch.no_grad():
        theirs = twin(ids).logits
    assert (own - theirs).abs().max() < 1e-5
    unit = added / added.norm()
    kept: list[torch.Tensor] = []
    handle = model.h[1].register_forward_pre_hook(lambda _, inputs: kept.append(inputs[0]))
    logits_with(model, ids, {0: steered(without=unit)})
    handle.remove()
    assert (kept[0] @ unit).abs().max() < 1e-5
    with torch.no_grad():
        assert (model(ids) - own).abs().max() > 1e-3
