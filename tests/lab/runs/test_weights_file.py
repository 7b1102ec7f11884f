import base64
import hashlib
import json
import os
import struct
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from lab.core.errors import UserError
from lab.core.safetensors_file import is_whole, read_metadata
from lab.runs import weights_file
from lab.runs.run_folder import Run
from lab.runs.weights_file import load_model, save_best, save_snapshot
from lab.training.checkpoint import load_checkpoint, save_checkpoint
from lab.training.one_step.starting_point import open_checkpoint
from lab.training.trainer_state import TrainerState
from models.gpt import GPT
from models.optimizers import make_optimizer
from models.tokenizers.tokenizer import Tokenizer
from tests.fixture_types import Call, EmptyRun
from tests.lab.trainee import Trainee, loaded

pytestmark = pytest.mark.usefixtures("one_core")


def test_weights_are_opened_by_name(empty_run: EmptyRun) -> None:
    run = empty_run()
    trainee = Trainee(run, 1)
    save_snapshot(run, trainee.model, 0)
    save_snapshot(run, trainee.model, 1)
    trainee.save(run)
    assert load_model(run, "best")[1] == 1
    trainee.train(1)
    save_best(run, trainee.model, 2, 3.5)
    trainee.train(1)
    trainee.save(run)
    assert [(name, load_model(run, name)[1]) for name in ("best", "last", "previous", "1", "00000001", "0")] == [
        ("best", 2),
        ("last", 3),
        ("previous", 1),
        ("1", 1),
        ("00000001", 1),
        ("0", 0),
    ]
    model, _ = load_model(run, "last")
    assert not model.training
    assert all(torch.equal(weight, trainee.model.state_dict()[name]) for name, weight in model.state_dict().items())
    rounded, _ = load_model(run, "1")
    for name, weight in rounded.state_dict().items():
        assert weight.dtype == torch.float32
        assert torch.equal(weight, Trainee(run, 1).model.state_dict()[name].bfloat16().float())
    with pytest.raises(UserError, match="no checkpoint called '7'; there are best and last, and snapshots of steps: 0, 1"):
        load_model(run, "7")
    best = read_metadata(run.path / "best.safetensors") or {}
    assert (best["val_loss"], best["step"]) == ("3.5", "2")
    assert is_whole(run.path / "best.safetensors")


def test_weights_of_another_shape_are_refused_in_words(empty_run: EmptyRun) -> None:
    run, other = empty_run(), empty_run("other")
    Trainee(run).save(run)
    os.replace(run.path / "last.safetensors", other.path / "last.safetensors")
    path = other.path / "config.json"
    path.write_bytes(path.read_bytes().replace(b'"width":16', b'"width":32'))
    with pytest.raises(UserError, match="does not fit the model of other"):
        load_model(other)
    with pytest.raises(UserError, match=r"The config.json of other has changed since its last checkpoint"):
        loaded(other)


def test_snapshots_are_thinned_evenly_and_keep_both_ends(empty_run: EmptyRun, monkeypatch: pytest.MonkeyPatch) -> None:
    run = empty_run()
    trainee = Trainee(run)
    save_snapshot(run, trainee.model, 1)
    size = run.snapshots()[0].bytes
    monkeypatch.setattr(weights_file, "SNAPSHOT_BYTES", 8 * size)
    for step in (0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 640, 768, 896):
        save_snapshot(run, trainee.model, step)
        steps = [file.step for file in run.snapshots()]
        assert steps[0] in (0, 1)
        assert steps[-1] == step or step == 0
    assert len(steps) <= 7
    ratios = [(later + 1) / (earlier + 1) for earlier, later in pairwise(steps)]
    assert max(ratios) < 9, steps


Header = dict[str, Any]


@pytest.fixture
def run(empty_run: EmptyRun) -> Run:
    """A run with weights in best and last, as a trainer leaves them after its first step."""
    made = empty_run()
    model = GPT(made.config.model, seed=1)
    optimizer = make_optimizer(model, 1e-3)
    model.loss(torch.zeros(1, 4, dtype=torch.int64), torch.ones(1, 4, dtype=torch.int64)).backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    save_checkpoint(made, model, optimizer, TrainerState(step=1, precision="fp32"))
    save_best(made, model, 1, 2.5)
    Tokenizer.bytes_().save(made.tokenizer_path)
    return made


def rewritten(path: Path, change: Callable[[Header], None]) -> None:
    """The file with another header, and no checksums."""
    raw = path.read_bytes()
    (length,) = struct.unpack("<Q", raw[:8])
    header = json.loads(raw[8 : 8 + length])
    for name in ("crc32", "header_crc32"):
        header["__metadata__"].pop(name)
    change(header)
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + raw[8 + length :])


def entry(header: Header) -> Header:
    """Of the token embedding, which is called otherwise in last than in best."""
    found: Header = header.get("wte.weight") or header["model.wte.weight"]
    return found


def second(header: Header) -> Header:
    """Of the position embedding."""
    found: Header = header.get("wpe.weight") or header["model.wpe.weight"]
    return found


HEADERS: dict[str, tuple[Callable[[Header], None], str]] = {
    "offsets as strings": (lambda h: entry(h).update(data_offsets=["0", "64"]), "header is damaged"),
    "overlapping": (lambda h: second(h).update(data_offsets=[0, 1024]), "are not where its shape says"),
    "negative": (lambda h: entry(h).update(data_offsets=[-8, 16376]), "are not where its shape says"),
    "behind the end": (lambda h: entry(h).update(data_offsets=[1 << 40, (1 << 40) + 16384]), "are not where its shape says"),
    "three offsets": (lambda h: entry(h).update(data_offsets=[0, 1, 2]), "header is damaged"),
    "step ²": (lambda h: h["__metadata__"].update(step="²"), "of step '²', which is not a step"),
    "step of 5,000 digits": (lambda h: h["__metadata__"].update(step="9" * 5000), "which is not a step"),
    "step below 0": (lambda h: h["__metadata__"].update(step="-1"), "which is not a step"),
    "step that is a number": (lambda h: h["__metadata__"].update(step=1), "header is damaged"),
    "a loss that is not a number": (lambda h: h["__metadata__"].update(val_loss="lots"), "'lots', which is not a number"),
    "whole numbers": (lambda h: entry(h).update(dtype="I32"), "wte.weight as I32, which is no floating-point type"),
    "unknown type": (lambda h: entry(h).update(dtype="F7"), "'F7', a type that the lab does not know"),
    "type of another size": (lambda h: entry(h).update(dtype="F16"), "are not where its shape says"),
    "type as a number": (lambda h: entry(h).update(dtype=4), "header is damaged"),
    "256 GB": (lambda h: entry(h).update(shape=[1 << 18, 1 << 18]), "are not where its shape says"),
    "absurd shape": (lambda h: entry(h).update(shape=[1 << 62, 1 << 62]), "header is damaged"),
    "negative shape": (lambda h: entry(h).update(shape=[-256, -16]), "header is damaged"),
    "turned shape": (lambda h: entry(h).update(shape=[16, 256]), "wte.weight has 16 × 256 numbers where the model has 256 × 16"),
    "many dimensions": (lambda h: entry(h).update(shape=[256, 16, *[1] * 50]), "header is damaged"),
    "another name": (
        lambda h: h.update({key + "x": h.pop(key) for key in [*h] if key.endswith("wte.weight") and "optimizer" not in key}),
        "wte.weight is missing",
    ),
    "one tensor more": (lambda h: h.update({"zzz": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}}), ""),
    "nested": (lambda h: h.update({"deep": json.loads("[" * 500 + "]" * 500)}), "header is damaged"),
    "no dictionary": (lambda h: h.update({"list": [1, 2]}), "header is damaged"),
}


@pytest.mark.parametrize("name", list(HEADERS))
def test_a_header_that_cannot_be_is_told_in_words_and_training_does_not_go_on_from_it(name: str, run: Run, llmlab: Call) -> None:
    change, words = HEADERS[name]
    for file in ("best.safetensors", "last.safetensors"):
        rewritten(run.path / file, change)
    if "loss" not in name:
        assert words in refused(run, r"last\.safetensors")
    (run.path / "last.safetensors").unlink()
    for command in ("generate", "trace"):
        done = llmlab(command, "tale", "-p", "a")
        done.assert_mistake("best.safetensors", words)
        assert len(done.err) < 400
    assert llmlab("runs").code == 0


def refused(run: Run, words: str) -> str:
    """The one line with these words with which training does not go on from its checkpoint."""
    model = GPT(run.config.model, seed=1)
    with pytest.raises(UserError, match=words) as told:
        load_checkpoint(run, model, make_optimizer(model, 1e-3))
    assert "\n" not in str(told.value)
    return str(told.value)


def test_files_that_are_no_weights(run: Run, llmlab: Call) -> None:
    path = run.path / "best.safetensors"
    (run.path / "last.safetensors").unlink()
    raws = [b"", b"abc", b"\xff" * 8, b"\xff" * 100, struct.pack("<Q", 1 << 62), b"PK\x03\x04" * 9]
    raws += [struct.pack("<Q", 10**6) + b'{"a":' * 200_000, struct.pack("<Q", 4) + b"null", struct.pack("<Q", 2) + b"\xff\xff"]
    for raw in raws:
        path.write_bytes(raw)
        llmlab("generate", "tale", "-p", "a").assert_mistake("best.safetensors")
        assert not is_whole(path)
    assert read_metadata(path) is None


def test_weights_that_are_no_numbers_are_refused_and_the_next_good_file_is_named(run: Run, llmlab: Call) -> None:
    weights = GPT(run.config.model, seed=1).state_dict()
    weights["h.1.mlp.c_fc.bias"][3] = float("nan")
    save_file(weights, run.path / "best.safetensors", {"step": "1"})
    wrong = "best.safetensors holds NaN or infinity in h.1.mlp.c_fc.bias"
    llmlab("generate", "tale", "-p", "a").assert_mistake(f"{wrong}; --checkpoint last takes the weights of step 1")
    (run.path / "last.safetensors").unlink()
    llmlab("generate", "tale", "-p", "a").assert_mistake(wrong)


@pytest.mark.parametrize(
    "cursor",
    ["{}", "null", '{"precision":"fp32","step":-1}', '{"precision":"fp64"}', '{"precision":"fp32","threads":100000}', "[" * 9999],
)
def test_a_place_in_training_that_cannot_be(cursor: str, run: Run) -> None:
    rewritten(run.path / "last.safetensors", lambda header: header["__metadata__"].update(cursor=cursor))
    refused(run, r"last\.safetensors holds a trainer state that cannot be read")
    assert open_checkpoint(run).state == TrainerState(step=1, precision=open_checkpoint(run).state.precision)  # that of best


def test_an_optimizer_of_another_shape_is_refused(run: Run) -> None:
    def change(header: Header) -> None:
        place = header["optimizer.exp_avg.wte.weight"]
        place["shape"] = place["shape"][::-1]

    rewritten(run.path / "last.safetensors", change)
    refused(run, r"last\.safetensors does not fit the model of tale")


def sealed(content: dict[str, Any]) -> bytes:
    """A tokenizer's file with a checksum that fits, as whoever means harm would write it."""
    content.pop("sha256", None)
    content["sha256"] = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    return json.dumps(content).encode()


def _without(content: dict[str, Any], name: str) -> bytes:
    content.pop(name)
    return sealed(content)


TOKENIZERS: dict[str, Callable[[dict[str, Any]], bytes]] = {
    "empty": lambda c: b"",
    "no text": lambda c: b"\xff\xfe\x00",
    "a list": lambda c: b"[]",
    "a number": lambda c: b"7",
    "nested": lambda c: b"[" * 100_000,
    "no tokens": lambda c: sealed(c | {"tokens": []}),
    "tokens gone": lambda c: _without(c, "tokens"),
    "no kind": lambda c: sealed(c | {"kind": None}),
    "tokens as numbers": lambda c: sealed(c | {"tokens": list(range(256))}),
    "tokens as one string": lambda c: sealed(c | {"tokens": "abc"}),
    "one token less": lambda c: sealed(c | {"tokens": c["tokens"][:-1]}),
    "one token more": lambda c: sealed(c | {"tokens": [*c["tokens"], base64.b64encode(b"ab").decode()]}),
    "one token twice": lambda c: sealed(c | {"tokens": [*c["tokens"], c["tokens"][0]]}),
    "special as a list": lambda c: sealed(c | {"special": [1]}),
    "special of another id": lambda c: sealed(c | {"special": {"x": 9}}),
    "special of text": lambda c: sealed(c | {"special": {"x": "256"}}),
    "pattern of nothing": lambda c: sealed(c | {"pattern": None}),
    "pattern that is none": lambda c: sealed(c | {"pattern": "(("}),
    "a newer format": lambda c: sealed(c | {"format": 99}),
    "another checksum": lambda c: json.dumps(c | {"sha256": "0"}).encode(),
}


def test_a_tokenizer_that_cannot_be_used_or_is_gone_is_told_in_words(run: Run, llmlab: Call) -> None:
    good = run.tokenizer_path.read_bytes()
    commands = ("generate", "tale", "-p", "a"), ("trace", "tale", "-p", "a"), ("tokenize", "a", "--tokenizer", "tale")
    for name, damaged in TOKENIZERS.items():
        run.tokenizer_path.write_bytes(damaged(json.loads(good)))
        for command in commands:
            done = llmlab(*command)
            assert done.code == 2, name
            done.assert_mistake("tokenizer.json")
    run.tokenizer_path.unlink()
    llmlab("generate", "tale", "-p", "a").assert_mistake("tale has no tokenizer", "tokenizer.json is missing")


def test_a_shape_that_memory_cannot_hold_is_refused_before_the_trainer_makes_the_model(
    tiny_run: Callable[..., Run], train_here: Callable[..., Any]
) -> None:
    run = tiny_run()
    config = json.loads((run.path / "config.json").read_bytes())
    config["model"] |= {"layers": 1000, "width": 65_536, "heads": 2}
    (run.path / "config.json").write_text(json.dumps(config))
    status = train_here(Run(run.path))
    assert status.phase == "failed"
    assert "needs at least" in status.message
