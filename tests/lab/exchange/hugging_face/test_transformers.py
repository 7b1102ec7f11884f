"""Import and export against transformers: logits, ids and greedy text of odd shapes, sharded, fp16, bf16 and pickled weights."""

import json
import os
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import pytest
import torch

from lab.exchange.hugging_face.export_model import export_model, tokenizer_config_json, tokenizer_json
from lab.exchange.hugging_face.import_run import import_run
from lab.inspect.model_cache import load_open_model
from lab.runs.find_runs import open_run
from lab.runs.run_folder import tokenizer_of
from lab.runs.weights_file import load_model
from models.config import SamplingSettings
from models.sampling import generate
from models.tokenizers.tokenizer import Tokenizer
from models.trace import Trace

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
