"""Model folders: good ones by any path become runs; each that is no GPT-2, damaged or hostile is refused with one sentence."""

import json
import os
import struct
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from lab.core.errors import UserError
from lab.exchange.hugging_face import weights_files
from lab.exchange.hugging_face.import_run import import_run
from lab.exchange.hugging_face.model_folder import open_model_folder
from lab.runs.run_folder import Run
from lab.runs.weights_file import load_model
from models.hugging_face_weights import HEAD, own_names, turned
from tests.fixture_types import MakeFolder


def refused(folder: Path, home: Path, words: str, **options: Any) -> None:
    with pytest.raises(UserError, match=words) as error:
        import_run(str(folder), home, **options)
    sentence = str(error.value)
    assert "\n" not in sentence
    assert len(sentence) < 700
    assert not home.exists()


def has_weights(run: Run, weights: dict[str, Tensor]) -> bool:
    loaded, names = load_model(run)[0].state_dict(), own_names(weights)
    return all(torch.equal(loaded[own], turned(own, weights[name])) for name, own in names.items() if own != HEAD)


def shards(folder: Path, weights: dict[str, Tensor], kind: str = "model.safetensors") -> tuple[dict[str, str], Path]:
    """Replace the single file by two shards; gives where each weight is, and their index, which is still to be written."""
    stem, suffix = kind.split(".")
    places = {name: f"{stem}-0000{1 + number % 2}-of-00002.{suffix}" for number, name in enumerate(weights)}
    (folder / "model.safetensors").unlink()
    for shard in {*places.values()}:
        part = {name: weights[name] for name in weights if places[name] == shard}
        torch.save(part, folder / shard) if suffix == "bin" else save_file(part, folder / shard)
    return places, folder / f"{kind}.index.json"


@pytest.mark.parametrize("kind", ["model.safetensors", "pytorch_model.bin"])
def test_shards_that_disagree_with_their_index(
    kind: str, make_folder: MakeFolder, home: Path, weights: dict[str, Tensor], request: pytest.FixtureRequest
) -> None:
    if kind == "pytorch_model.bin":
        request.getfixturevalue("pickles_are_read")
    folder = make_folder()
    places, index = shards(folder, weights, kind)
    options = {"convert_pickle": True} if kind.endswith("bin") else {}
    some, first = next(iter(places)), sorted({*places.values()})[0]
    outside = ("../" + first, "/etc/passwd", "a/b.safetensors", "..", "a\x00b", ".hidden", "")
    for change, words in (
        (dict.fromkeys(places, first), "where .* has it|which holds it"),
        (places | {some: sorted({*places.values()} - {places[some]})[0]}, "which holds it"),
        (places | {"transformer.h.7.ln_1.weight": first}, "has it"),
        (places | {some: f"missing.{kind.split('.')[1]}"}, r"missing\.\w+' is missing"),
        *((dict.fromkeys(places, shard), "cannot lie in the folder itself") for shard in outside),
        ({}, "damaged"),
    ):
        index.write_text(json.dumps({"weight_map": change}))
        refused(folder, home, words, **options)
    index.write_text(json.dumps({"weight_map": places}))
    assert has_weights(import_run(str(folder), home, **options), weights)


def test_a_good_folder_becomes_a_run(make_folder: MakeFolder, home: Path, weights: dict[str, Tensor]) -> None:
    run = import_run(str(make_folder()), home)
    assert has_weights(run, weights)
    assert run.name == "tiny"
    assert import_run(str(run.path.parent.parent / "tiny"), home).name == "tiny-2"
    with pytest.raises(UserError, match="already"):
        import_run("gpt2", home, "tiny")


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"model_type": "llama"}, "'llama', and the lab is for GPT-2"),
        ({"model_type": ""}, "no named type"),
        ({"architectures": ["GPT2ForSequenceClassification"]}, "GPT2ForSequenceClassification, not a plain GPT-2"),
        ({"activation_function": "relu"}, "activation is 'relu', not gelu_new"),
        ({"layer_norm_epsilon": 1e-6}, "layer_norm_epsilon is 1e-06"),
        ({"scale_attn_weights": False}, "not divided"),
        ({"scale_attn_by_inverse_layer_idx": True}, "by the layer's number"),
        ({"add_cross_attention": True}, "cross-attention"),
        ({"n_inner": 24}, r"24 wide \(n_inner\), and GPT-2's is 4 times the width, 16"),
        ({"n_layer": 1_000_000_000}, "layers must be at most 1,024"),
        ({"n_layer": 10**25}, "damaged"),
        ({"n_embd": 65536, "n_layer": 1024, "n_positions": 8}, "of memory"),
        ({"n_head": 3}, "cannot be divided among 3 heads"),
        ({"n_head": 0}, "at least 1"),
        ({"n_embd": -4}, "damaged"),
        ({"resid_pdrop": "much"}, "damaged"),
        ({"n_layer": 3}, r"h\.2\.ln_1\.weight is missing"),
        ({"n_layer": 1}, r"no 'transformer\.h\.1\."),
        ({"n_positions": 9}, "wpe.weight is 8 × 4 where the model has 9 × 4"),
        ({"vocab_size": 255}, "wte.weight is 256 × 4 where the model has 255 × 4"),
    ],
)
def test_settings_that_are_not_gpt2s(settings: dict[str, Any], words: str, make_folder: MakeFolder, home: Path) -> None:
    refused(make_folder(settings), home, words)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("transformer.h.0.mlp.c_fc.weight", torch.zeros(16, 4), "c_fc.weight is 16 × 4 where the model has 4 × 16"),
        ("transformer.h.0.mlp.c_fc.bias", torch.zeros(16, dtype=torch.int32), "is I32, no float"),
        ("transformer.h.0.mlp.c_fc.bias", torch.full((16,), float("nan")), "NaN or infinity"),
        ("transformer.h.0.extra", torch.zeros(1), "no 'transformer.h.0.extra'"),
        ("score.weight", torch.zeros(2, 4), "'score.weight', which no GPT-2 has"),
        ("other.wte.weight", torch.zeros(256, 4), "2 tensors called wte.weight"),
        ("lm_head.weight", torch.zeros(256, 4), "output head is not its token embedding"),
    ],
)
def test_weights_that_are_not_gpt2s(
    name: str, value: Tensor, words: str, make_folder: MakeFolder, home: Path, weights: dict[str, Tensor]
) -> None:
    refused(make_folder(tensors=weights | {name: value}), home, words)


def test_headers_that_claim_more_than_there_is(make_folder: MakeFolder, home: Path) -> None:
    folder = make_folder()
    path = folder / "model.safetensors"
    huge = {"transformer.wte.weight": {"dtype": "F32", "shape": [1 << 30, 1 << 9], "data_offsets": [0, 1 << 41]}}
    for contents, words in (
        (b"", "too short"),
        (struct.pack("<Q", 1 << 62) + b"{}", "not the length of a header"),
        (struct.pack("<Q", 5_000_000) + b"{}", "header is cut off"),
        (struct.pack("<Q", 2) + b"[]", "header is damaged"),
        (struct.pack("<Q", len(json.dumps(huge))) + json.dumps(huge).encode(), "bytes are missing"),
        (b"\x80\x02]q\x00.", "not the length of a header|too short"),
    ):
        path.write_bytes(contents)
        refused(folder, home, words)


def test_a_link_is_not_followed(make_folder: MakeFolder, home: Path, tmp_path: Path) -> None:
    folder = make_folder()
    for name in ("config.json", "model.safetensors", "tokenizer.json"):
        (folder / name).rename(tmp_path / "elsewhere")
        (folder / name).symlink_to(tmp_path / "elsewhere")
        refused(folder, home, "is a link, not a regular file")
        (tmp_path / "elsewhere").rename(folder / name)


@pytest.mark.parametrize("repository", ["", "models--someone--tiny", "a-copy"])
def test_a_link_is_followed_within_its_folder_and_into_the_blobs_of_its_repository(
    repository: str, make_folder: MakeFolder, home: Path, tmp_path: Path
) -> None:
    """Also where the repository's folder has another name than in the cache; a link to a file beside the blobs is refused."""
    folder = make_folder()
    if repository:
        (tmp_path / repository / "snapshots").mkdir(parents=True)
        folder = folder.rename(tmp_path / repository / "snapshots" / "0123")
    blobs = folder.parents[1] / "blobs" if repository else folder / "blobs"
    blobs.mkdir()
    weights = folder / "model.safetensors"
    weights.rename(blobs / "hash")
    weights.symlink_to(os.path.relpath(blobs / "hash", folder))
    run = import_run(str(folder), home)
    assert run.config.imported is not None
    assert run.config.imported.source == (repository.rpartition("--")[2] or "tiny")
    weights.unlink()
    (blobs / "hash").rename(folder.parent / "beside")
    weights.symlink_to(os.path.relpath(folder.parent / "beside", folder))
    with pytest.raises(UserError, match="is a link"):
        import_run(str(folder), home)


REVISION = "607a30d783dfa663caf39e06633721c8d4cfcd7e"


@pytest.fixture
def snapshot(make_folder: MakeFolder, tmp_path: Path) -> Path:
    """The folder as an entry of the cache, whose files are links into its blobs."""
    folder, repository = make_folder(), tmp_path / "hub" / "models--someone--tiny"
    made = repository / "snapshots" / REVISION
    made.mkdir(parents=True)
    folder.rename(repository / "blobs")
    for path in (repository / "blobs").iterdir():
        (made / path.name).symlink_to(Path("..", "..", "blobs", path.name))
    return made


def test_a_cache_entry_is_one_by_any_path_and_its_links_lead_into_its_own_blobs(
    snapshot: Path, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository, blobs = snapshot.parents[1], snapshot.parents[1] / "blobs"
    (tmp_path / "link").symlink_to(snapshot)
    (tmp_path / "cache").symlink_to(tmp_path / "hub")
    monkeypatch.chdir(snapshot)
    for path in (snapshot, tmp_path / "link", Path("."), Path("..") / REVISION, repository, tmp_path / "cache" / repository.name):
        found = open_model_folder(path)
        assert (found.name, found.revision) == ("tiny", REVISION)
        assert os.path.samefile(found.file("config.json"), blobs / "config.json")
    imported = import_run(str(repository), home).config.imported
    assert imported is not None
    assert (imported.source, imported.revision) == ("tiny", REVISION)
    blobs.rename(tmp_path / "outside")
    blobs.symlink_to(tmp_path / "outside")
    with pytest.raises(UserError, match="is a link"):
        import_run(str(repository), home)
    blobs.unlink()
    (tmp_path / "outside").rename(blobs)
    (blobs / "config.json").rename(tmp_path / "config.json")
    (snapshot / "config.json").unlink()
    (snapshot / "config.json").symlink_to(tmp_path / "config.json")
    with pytest.raises(UserError, match="is a link"):
        import_run(str(snapshot), home)
    (tmp_path / "plain" / "sub").mkdir(parents=True)
    (tmp_path / "plain" / "config.json").write_text("{}")
    monkeypatch.chdir(tmp_path / "plain" / "sub")
    assert open_model_folder(Path("..")).name == "plain"


def test_a_branch_that_is_no_regular_file_or_too_large_is_passed_over(
    snapshot: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    main = snapshot.parents[1] / "refs" / "main"
    main.parent.mkdir()
    main.write_bytes(bytes(2000))
    monkeypatch.setattr(Path, "read_bytes", lambda path: pytest.fail(f"reads {path} without a bound"))
    import_run(str(snapshot.parents[1]), home)
    main.unlink()
    os.mkfifo(main)
    assert import_run(str(snapshot.parents[1]), home).name == "tiny-2"


def test_files_that_are_too_large_or_no_files(make_folder: MakeFolder, home: Path) -> None:
    folder = make_folder()
    config = folder / "config.json"
    good = config.read_bytes()
    with config.open("r+b") as file:
        file.truncate(1 << 40)
    refused(folder, home, "of 8,388,608 that it may have")
    config.write_bytes(b"[" * 100_000)
    refused(folder, home, "damaged")
    config.unlink()
    refused(folder, home, "no config.json")
    os.mkfifo(config)
    refused(folder, home, "named pipe")
    config.unlink()
    config.write_bytes(good)
    (folder / "model.safetensors").unlink()
    refused(folder, home, "holds no weights")
    refused(folder / "config.json", home, "not a folder")
    refused(folder / "nowhere", home, "no folder")


class Harmful:
    """A pickle of it creates a file when it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.path,))


@pytest.mark.usefixtures("pickles_are_read")
def test_a_pickle_is_read_for_weights_alone_where_the_user_asks(
    make_folder: MakeFolder, home: Path, weights: dict[str, Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_folder()
    (folder / "model.safetensors").unlink()
    path = folder / "pytorch_model.bin"
    torch.save({"weights": Harmful(tmp_path / "executed")}, path)
    refused(folder, home, "--convert-pickle")
    words = r"as weights alone: it names '[\w.]+', which is no weight and could be code; nothing in it was executed\.$"
    refused(folder, home, words, convert_pickle=True)
    assert not (tmp_path / "executed").exists()
    torch.save([1, 2], path)
    refused(folder, home, "other than tensors", convert_pickle=True)
    torch.save({name: weight.to("meta") for name, weight in weights.items()}, path)
    refused(folder, home, "other than tensors", convert_pickle=True)
    torch.save(weights | {"transformer.wte.weight": torch.zeros(1).expand(256, 5)}, path)
    refused(folder, home, "wte.weight is 256 × 5", convert_pickle=True)
    torch.save(weights, path)
    with zipfile.ZipFile(path) as whole:
        parts = {part: whole.read(part) for part in whole.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as compressed:
        for part, data in parts.items():
            compressed.writestr(part, data)
    assert torch.load(path, weights_only=True), "torch would read it"
    refused(folder, home, "has compressed parts", convert_pickle=True)
    path.write_bytes(b"PK\x03\x04nonsense")
    refused(folder, home, "it is damaged", convert_pickle=True)
    path.write_bytes(b"\x80\x02nonsense")
    refused(folder, home, "as weights alone: it is damaged, or holds something else; nothing in it", convert_pickle=True)
    for is_zip in (True, False):
        torch.save(weights, path, _use_new_zipfile_serialization=is_zip)
        assert has_weights(import_run(str(folder), home, convert_pickle=True), weights)
    monkeypatch.setattr(torch, "__version__", "2.9.1+cu128")
    with pytest.raises(UserError, match=r"update it to 2\.10"):
        import_run(str(folder), home, convert_pickle=True)
    assert [weights_files.torch_version(words) for words in ("2.13.0+cpu", "2.10.0a0", "odd")] == [(2, 13), (2, 10), (0, 0)]


@pytest.mark.usefixtures("pickles_are_read")
def test_shards_of_a_pickle_are_read_for_weights_alone_where_the_user_asks(
    make_folder: MakeFolder, home: Path, weights: dict[str, Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_folder()
    places, index = shards(folder, weights, "pytorch_model.bin")
    index.write_text(json.dumps({"weight_map": places}))
    refused(folder, home, "--convert-pickle")
    first, second = (folder / name for name in sorted({*places.values()}))
    good = second.read_bytes()
    torch.save({"weights": Harmful(tmp_path / "executed")}, second)
    refused(folder, home, "00002-of-00002.bin cannot be read as weights alone", convert_pickle=True)
    assert not (tmp_path / "executed").exists()
    monkeypatch.setattr(weights_files, "OTHER_BYTES", first.stat().st_size)
    monkeypatch.setattr(weights_files, "MOST_COPIES", 0)
    refused(folder, home, "that it may have", convert_pickle=True)
    monkeypatch.undo()
    second.write_bytes(good)
    monkeypatch.setattr(torch, "__version__", "2.9.1")
    refused(folder, home, r"update it to 2\.10", convert_pickle=True)


def test_a_model_that_is_not_here(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"\(548 MB\), install huggingface_hub: `.* pip install .*\[hub\]"):
        import_run("gpt2", home)
    assert not home.exists()


@pytest.mark.usefixtures("pickles_are_read")
def test_a_head_of_its_own_that_is_missing(make_folder: MakeFolder, home: Path, weights: dict[str, Tensor]) -> None:
    folder = make_folder({"tie_word_embeddings": False})
    refused(folder, home, r"\(tie_word_embeddings is false\), and there is no lm_head.weight")
    (folder / "model.safetensors").unlink()
    torch.save(weights, folder / "pytorch_model.bin")
    refused(folder, home, "tie_word_embeddings is false", convert_pickle=True)
    (folder / "pytorch_model.bin").unlink()
    save_file(weights | {"lm_head.weight": weights["transformer.wte.weight"].clone()}, folder / "model.safetensors")
    assert import_run(str(folder), home).name == "tiny"


def test_a_folder_s_name_that_is_no_text(make_folder: MakeFolder, home: Path, tmp_path: Path) -> None:
    folder = make_folder().rename(tmp_path / os.fsdecode(b"bad\xff"))
    words: list[str] = []
    run = import_run(str(folder), home, tell=words.append)
    assert (run.name, run.config.imported and run.config.imported.source) == ("bad-xff", "bad\\xff")
    assert words[-1] == "Reading the weights of bad\\xff."


def test_a_link_that_leads_nowhere_has_its_name(make_folder: MakeFolder, home: Path) -> None:
    folder = make_folder()
    home.mkdir()
    (home / "tiny").symlink_to("nowhere")
    with pytest.raises(UserError, match="The name tiny is taken already"):
        import_run(str(folder), home, "tiny")
    assert import_run(str(folder), home).name == "tiny-2"
