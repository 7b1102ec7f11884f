"""The commands, and everything that opens a run on one that was imported: it has no text, and says so."""

import json
import os
import pickle
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from lab.analysis.baselines import bytes_per_token
from lab.analysis.comparable_runs import comparable
from lab.analysis.compared_run import ComparedRun, vocabulary_of
from lab.analysis.comparison import differences, results
from lab.cli.command_registry import run as run_command
from lab.core.errors import UserError
from lab.data.source_files import change_of_text
from lab.engine.method_bindings import ModelMethods
from lab.engine.method_registry import OpenParams
from lab.exchange.html_report import html_report
from lab.exchange.hugging_face import model_folder
from lab.exchange.hugging_face.import_run import import_run
from lab.exchange.hugging_face.model_folder import gpt2_config_json
from lab.experiments.sizes import SHAPES
from lab.inspect.model_cache import ModelCache
from lab.planning.settings_form import cloned_settings, text_problem
from lab.runs.find_runs import open_run
from lab.runs.run_folder import Run
from lab.runs.run_history import LossHistory
from lab.runs.run_summary import RunsWatcher
from lab.runs.schema_parts import IMPORTABLE
from lab.tokenization.learnable_text import read_run_text
from lab.training.one_step.starting_point import own_batch
from lab.training.start_trainer import refuse_to_start
from models.config import ModelConfig
from tests.fixture_types import Call


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The demo, exported and imported again by the commands."""
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LLMLAB_HOME", str(home))
        assert run_command(["export", "demo", str(home / ".out")]) == 0
        assert run_command(["import", str(home / ".out"), "--name", "mine"]) == 0
    return open_run("mine", home)


def test_the_commands_open_it(imported: Run, monkeypatch: pytest.MonkeyPatch, llmlab: Call, tmp_path: Path) -> None:
    monkeypatch.setenv("LLMLAB_HOME", str(imported.path.parent))
    mine, demo = (llmlab("generate", run, "-n", "20", "--greedy", "-p", "Once there was a big dog") for run in ("mine", "demo"))
    assert mine == demo
    for words in (("params",), ("trace", "-p", "Once there"), ("report", "-p", "Once", "-o", tmp_path / "report.html")):
        assert llmlab(words[0], "mine", *words[1:]).code == 0
    line = next(line for line in llmlab("runs").out.splitlines() if line.startswith("mine"))
    assert line.split()[1:3] == ["imported", "256k"]
    assert "none here" in line
    llmlab("resume", "mine").assert_mistake("has no text to train on")
    llmlab("posttrain", "mine").assert_mistake("mine was imported")
    llmlab("export", "mine", imported.path).assert_mistake("is where the lab keeps runs")


@pytest.mark.parametrize("command", [["generate"], ["params"], ["trace", "-p", "a"], ["train", "stories", "--from"]])
def test_a_folder_of_hugging_face_is_told_from_a_damaged_run(command: list[str], imported: Run, llmlab: Call) -> None:
    folder = imported.path.parent / ".out"
    said = llmlab(*command, folder).err
    assert said.endswith(f"is that of a Hugging Face model, not of a run; `llmlab import {folder}` makes a run of it.\n")
    assert "damaged" not in said


def test_views_of_a_text_say_that_there_is_none(imported: Run) -> None:
    config = imported.config
    for ask in (lambda: own_batch(imported, 0, 1), lambda: read_run_text(str(imported.path)), lambda: refuse_to_start(imported)):
        with pytest.raises(UserError, match="mine was imported"):
            ask()
    assert "imported, without a text" in text_problem(config)
    assert cloned_settings(config).tokenizer == "bpe"
    assert change_of_text(config.data, config.created) == ""
    report = html_report(imported)
    assert "Imported from .out, whose weights are F32 there." in report
    assert "elsewhere: its settings are not known here" in report
    assert bytes_per_token(config.data, LossHistory()) == 1.0
    assert "✓ Its weights were trained elsewhere" in report
    assert "2,000 steps" not in report
    assert ModelMethods(ModelCache()).open(OpenParams(run=str(imported.path))).origin == "imported from .out"
    summary = next(each for each in RunsWatcher(imported.path.parent).read() if each.name == imported.name)
    assert (summary.is_imported, summary.plan, summary.steps, summary.phase) == (True, "", 0, "finished")


def test_it_stands_in_a_comparison_without_a_result(imported: Run) -> None:
    runs = [
        ComparedRun(letter, run.name, vocabulary_of(run), run.config, run.status(), run.phase(), LossHistory())
        for letter, run in zip("AB", (imported, open_run("demo")), strict=True)
    ]
    assert comparable(runs)[0] == []
    assert {row.label: row.values for row in results(runs)}["best val loss"] == ("·", "·")
    assert [(row.label, row.values[0]) for row in differences(runs)] == [("text", "none here")]


def test_sizes_of_downloads_are_those_of_the_models() -> None:
    assert {(model.layers, model.heads, model.width) for model in model_folder.HUB_MODELS.values()} > set(SHAPES.values())
    mega = {name: round(model.download_bytes / 1e6) for name, model in model_folder.HUB_MODELS.items()}
    assert tuple(model_folder.HUB_MODELS) == IMPORTABLE
    assert mega == {"gpt2": 548, "gpt2-medium": 1520, "gpt2-large": 3247, "gpt2-xl": 6432, "distilgpt2": 353}


def test_a_connection_that_cannot_be_made_is_told_in_plain_words() -> None:
    hub = pytest.importorskip("huggingface_hub.errors").HfHubHTTPError.__bases__[0]
    library = sys.modules[hub.__module__.partition(".")[0]]
    error = OSError("An error happened while trying to locate the files on the Hub.")
    error.__cause__ = getattr(library, "ConnectError", ConnectionError)("[Errno -2] Name or service not known")
    assert model_folder.reason_of(error) == "the network cannot be reached"
    assert model_folder.reason_of(OSError(28, "No space left on device")) == "[Errno 28] No space left on device"


def test_a_folder_without_a_tokenizer_says_so_and_one_without_weights_at_once(tmp_path: Path) -> None:
    folder = tmp_path / "bare"
    folder.mkdir()
    shape = ModelConfig(layers=1, heads=1, width=4, context=8, vocab_size=50257)
    (folder / "config.json").write_text(json.dumps(gpt2_config_json(shape, "float32", None)))
    said: list[str] = []
    with pytest.raises(UserError, match=r"bare holds no weights: it has no model\.safetensors"):
        import_run(str(folder), tmp_path, tell=said.append)
    assert said == [], "before the tokenizer, which takes seconds"
    (folder / "pytorch_model.bin").write_bytes(b"damaged")

    def tell(words: str) -> None:
        raise InterruptedError(words)

    with pytest.raises(InterruptedError, match=r"^bare has no tokenizer files: GPT-2's own 50,257 tokens are taken\.$"):
        import_run(str(folder), tmp_path, convert_pickle=True, tell=tell)


def test_offline_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, llmlab: Call) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("LLMLAB_HOME", str(tmp_path / "home"))
    for name in ("distilgpt2", "distilbert/distilgpt2"):
        done = llmlab("import", name)
        said = done.err.splitlines()[-1]
        assert (done.code, said.startswith("llmlab: distilgpt2 is not in the Hugging Face cache")) == (2, True)
        assert "could not be downloaded (353 MB): Cannot reach" in said
        assert "connect to the network, or copy its folder here" in said
    llmlab("generate", "openai-community/gpt2").assert_mistake("`llmlab import gpt2` makes one")
    assert not (tmp_path / "home").exists()


NONSENSE = (b"", b"[]", b"null", b"{}", b"<html>", b'{"sha": 5, "siblings": 7}', b'{"sha": "x", "siblings": [3]}')
IMPORTED = """
import os, urllib.request
from lab.cli.command_registry import run
for at in range(7):
    urllib.request.urlopen(os.environ["HF_ENDPOINT"] + f"/{at}").close()
    assert run(["import", "gpt2"]) == 2
"""


def test_a_hub_that_answers_nonsense_is_one_sentence(tmp_path: Path) -> None:
    """A path of a number has it answer the nonsense of that number from then on."""
    pytest.importorskip("huggingface_hub")
    answer = b""

    class Nonsense(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            nonlocal answer
            if self.path[1:].isdecimal():
                answer = NONSENSE[int(self.path[1:])]
            self.send_response(200)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *words: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Nonsense) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        environment = {**os.environ, "HF_ENDPOINT": f"http://127.0.0.1:{server.server_port}", "HF_HOME": str(tmp_path)}
        environment |= {"HF_HUB_CACHE": str(tmp_path / "hub"), "LLMLAB_HOME": str(tmp_path / "home")}
        done = subprocess.run([sys.executable, "-c", IMPORTED], capture_output=True, text=True, env=environment, check=False)
        server.shutdown()
    assert done.returncode == 0, done.stderr
    said = [line for line in done.stderr.splitlines() if line.startswith("llmlab: ")]
    assert len(said) == len(NONSENSE), done.stderr
    assert all("could not be downloaded" in each or "Only a part of gpt2" in each for each in said), said


@pytest.mark.usefixtures("pickles_are_read")
def test_a_raw_pickle_is_refused_in_one_sentence_without_torchs_warning(tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    folder = tmp_path / "raw"
    folder.mkdir()
    shape = ModelConfig(layers=1, heads=1, width=4, context=8, vocab_size=50257)
    (folder / "config.json").write_text(json.dumps(gpt2_config_json(shape, "float32", None)))
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Path("x")))
    with pytest.raises(UserError, match="cannot be read as weights alone"):
        import_run(str(folder), tmp_path, convert_pickle=True)
    assert not [str(each.message) for each in recwarn if "torch" in str(each.message)]
