"""Exports: exact round trips, half precision, where they may be written, and a model card that shows text as text."""

import hashlib
import os
import threading
from collections.abc import Callable
from functools import partial
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch

from lab.core.errors import UserError
from lab.exchange.hugging_face.export_model import export_model, model_card
from lab.exchange.hugging_face.import_run import import_run
from lab.runs.find_runs import open_run
from lab.runs.run_folder import Run, tokenizer_of
from lab.runs.schema_parts import ImportConfig, StartConfig
from lab.runs.weights_file import load_model


def weights(run: Run) -> dict[str, torch.Tensor]:
    return load_model(run)[0].state_dict()


def test_a_round_trip_is_exact(tmp_path: Path) -> None:
    demo, home = open_run("demo"), tmp_path / "home"
    assert export_model(demo, tmp_path / "out") == 6000
    back = import_run(str(tmp_path / "out"), home, "back")
    ours, theirs = weights(demo), weights(back)
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert tokenizer_of(back).checksum == tokenizer_of(demo).checksum
    assert back.config.model == demo.config.model
    export_model(back, tmp_path / "again")
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors"):
        first, second = ((tmp_path / folder / name).read_bytes() for folder in ("out", "again"))
        assert hashlib.sha256(first).digest() == hashlib.sha256(second).digest(), name


@pytest.mark.parametrize(("dtype", "kind"), [("bf16", torch.bfloat16), ("fp16", torch.float16)])
def test_half_precision_comes_back_rounded_once(dtype: str, kind: torch.dtype, tmp_path: Path) -> None:
    demo = open_run("demo")
    export_model(demo, tmp_path / "half", dtype)  # type: ignore[arg-type]
    back = import_run(str(tmp_path / "half"), tmp_path / "home")
    ours, theirs = weights(demo), weights(back)
    assert all(torch.equal(ours[name].to(kind).float(), theirs[name]) for name in ours)
    assert back.config.imported is not None
    assert back.config.imported.dtype == dtype.upper().replace("FP", "F")


def test_an_export_replaces_nothing(tmp_path: Path) -> None:
    demo = open_run("demo")
    (tmp_path / "empty").mkdir()
    export_model(demo, tmp_path / "empty")
    before = sorted(path.name for path in tmp_path.iterdir())
    (tmp_path / "file").write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for name, words in (("empty", "is not empty"), ("file", "is no folder"), ("link", "is no folder")):
        with pytest.raises(UserError, match=words):
            export_model(demo, tmp_path / name)
    with pytest.raises(UserError, match="no checkpoint called '17'"):
        export_model(demo, tmp_path / "new", checkpoint="17")
    for below in ("new", "new/deeper"):
        with pytest.raises(UserError, match="file is no folder, so that nothing can be written into it"):
            export_model(demo, tmp_path / "file" / below)
    assert (tmp_path / "file").read_text() == "mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*before, "file", "link"])


def test_an_export_is_for_others_and_keeps_the_permissions_of_an_empty_folder(tmp_path: Path) -> None:
    demo = open_run("demo")
    before = os.umask(0o022)
    try:
        export_model(demo, tmp_path / "new")
        (tmp_path / "empty").mkdir()
        (tmp_path / "empty").chmod(0o775)
        export_model(demo, tmp_path / "empty")
    finally:
        os.umask(before)
    assert [(tmp_path / name).stat().st_mode & 0o777 for name in ("new", "empty")] == [0o755, 0o775]
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "new").iterdir()} == {0o644}


def test_an_export_is_written_neither_among_the_runs_nor_into_the_folder_in_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    demo, runs = open_run("demo"), tmp_path / "runs"
    monkeypatch.setenv("LLMLAB_HOME", str(runs))
    export_model(demo, tmp_path / "out")
    back = import_run(str(tmp_path / "out"), runs, "back")
    (back.path / "snapshots").mkdir()
    for name, kept in (("runs", runs), ("snapshots", back.path / "snapshots")):
        (tmp_path / f"link to {name}").symlink_to(kept)
    links = tmp_path / "link to runs" / "new", tmp_path / "link to snapshots" / "new"
    for target in (runs / "new", back.path / "sub", runs / "x" / ".." / "new", *links):
        with pytest.raises(UserError, match="is where the lab keeps runs"):
            export_model(demo, target)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    with pytest.raises(UserError, match="is the folder that you are in"):
        export_model(demo, Path("."))
    assert sorted(path.name for path in runs.iterdir() if not path.name.startswith(".")) == ["back"]


def test_a_weight_beyond_fp16_is_named(tmp_path: Path) -> None:
    from lab.runs.weights_file import save_best

    export_model(open_run("demo"), tmp_path / "out")
    run = import_run(str(tmp_path / "out"), tmp_path / "home")
    model = load_model(run)[0]
    with torch.no_grad():
        model.ln_f.bias[0] = 1e6
    save_best(run, model, 0)
    with pytest.raises(UserError, match=r"as fp16: transformer\.ln_f\.bias"):
        export_model(run, tmp_path / "half", "fp16")
    assert sorted(os.listdir(tmp_path)) == ["home", "out"]


def test_the_card_shows_text_from_outside_as_text(tmp_path: Path) -> None:
    demo = open_run("demo")
    name = "x|<img src=x>\n# [a](b) \u202e"
    data = msgspec.structs.replace(demo.config.data, name=name)
    run = Run(tmp_path / "run|*bold*")
    run.path.mkdir()
    (run.path / "config.json").write_bytes(msgspec.json.encode(msgspec.structs.replace(demo.config, data=data)))
    card = model_card(run, 6000, "float32")
    line = next(line for line in card.splitlines() if line.startswith("| text |"))
    assert line == r"| text | x\|\<img src=x\>␊\# \[a\](b) \\u202e |"
    assert r"# run\|\*bold\*" in card
    assert "\u202e" not in card


def test_the_card_names_license_and_base_as_far_as_they_are_known(
    empty_run: Callable[..., Run], home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home.mkdir()
    monkeypatch.setenv("LLMLAB_HOME", str(home))

    def card_of(name: str, **changes: object) -> str:
        run = empty_run(name)
        config = msgspec.structs.replace(run.config, created=len(name), **changes)  # a longer name is a later run
        (run.path / "config.json").write_bytes(msgspec.json.encode(config))
        return model_card(Run(run.path), 7, "float32")

    at_hub = {"imported": ImportConfig(source="distilgpt2", revision="607a30d")}
    for name, changes, license_, base in (
        ("a", {}, "unknown", None),
        ("bb", at_hub, "apache-2.0", "distilbert/distilgpt2"),
        ("ccc", {"start": StartConfig(base="bb", base_step=0)}, "unknown", "distilbert/distilgpt2"),
        ("dddd", {"start": StartConfig(base="gone", base_step=0)}, "unknown", None),
        ("eeeee", {"start": StartConfig(base="eeeee", base_step=0)}, "unknown", None),
        ("ffffff", {"imported": ImportConfig(source="distilgpt2")}, "unknown", None),
    ):
        card = card_of(name, **changes)  # type: ignore[arg-type]
        front = card.split("---")[1].splitlines()
        assert f"license: {license_}" in front
        assert [line for line in front if "base_model" in line] == ([f"base_model: {base}"] if base else [])
        assert ("add one at `license:` above" in card) == (license_ == "unknown")
    assert "\nlicense: mit\n" in model_card(open_run("demo"), 6000, "float32")


class Hub(BaseHTTPRequestHandler):
    """A Hub that knows nobody."""

    def do_POST(self) -> None:
        self.send_response(401)
        self.end_headers()

    def log_message(self, format: str, *arguments: object) -> None:
        pass


def test_a_push_uploads_the_folder_and_what_the_hub_refuses_is_a_sentence(
    llmlab: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = pytest.importorskip("huggingface_hub")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    uploaded: list[tuple[str, set[str]]] = []

    class FakeApi:
        def create_repo(self, name: str, **settings: bool) -> Any:
            assert settings == {"private": True, "exist_ok": True}
            return hub.RepoUrl(f"https://huggingface.co/{name}")

        def upload_folder(self, repo_id: str, folder_path: Path, commit_message: str) -> None:
            uploaded.append((repo_id, set(os.listdir(folder_path))))

    with monkeypatch.context() as patch:
        patch.setattr(hub, "HfApi", FakeApi)
        done = llmlab("export", "demo", tmp_path / "first", "--push", "me/demo")
    assert (done.code, done.err) == (0, "")
    assert done.out.splitlines()[-1] == "Uploaded to https://huggingface.co/me/demo."
    assert uploaded == [("me/demo", set(os.listdir(tmp_path / "first")))]

    llmlab("export", "demo", tmp_path / "bad", "--push", "a/b/c").assert_mistake("--push: ", "a/b/c")
    assert not (tmp_path / "bad").exists()
    server = HTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    for name, port, reason in (("refused", server.server_port, "401 "), ("away", 9, "the network cannot be reached")):
        monkeypatch.setattr(hub, "HfApi", partial(hub.hf_api.HfApi, endpoint=f"http://127.0.0.1:{port}", token="hf_none"))
        done = llmlab("export", "demo", tmp_path / name, "--push", "me/demo")
        assert (done.code, done.err.count("\n")) == (2, 1)
        assert f"{name} is written, but was not uploaded to me/demo: " in done.err
        assert reason in done.err
        assert "`hf auth login`" in done.err
        assert (tmp_path / name / "model.safetensors").exists()
    server.shutdown()
    server.server_close()
