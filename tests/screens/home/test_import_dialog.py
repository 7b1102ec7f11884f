"""Import on Home: the models and where they are, an import that is under way, and how it ends."""

import asyncio
import json
import math
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import OptionList, Static

from lab.core.errors import UserError
from lab.core.safetensors_file import RawTensor, write_tensors
from lab.exchange.hugging_face.export_model import tokenizer_json
from lab.exchange.hugging_face.import_run import run_import_process
from lab.exchange.hugging_face.model_folder import gpt2_config_json
from models.config import ModelConfig
from models.installation import install_command
from models.parameter_count import inventory
from models.tokenizers.tokenizer import Tokenizer
from screens.app import LabApp
from screens.home.import_dialog import FolderInput, ImportDialog, ModelImport
from screens.home.run_table import RunTable

pytestmark = pytest.mark.usefixtures("home", "fixed_machine")
PROCESS = "lab.exchange.hugging_face.import_run.run_import_process"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty Hugging Face cache."""
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("screens.home.import_dialog.can_download", lambda: False)
    return tmp_path / "hub"


@pytest.fixture
def app() -> LabApp:
    return LabApp(preload=False)


def write_model(folder: Path) -> Path:
    """A GPT-2 whose weights are all 0, in Hugging Face's layout."""
    shape = ModelConfig(layers=1, heads=1, width=4, context=8, vocab_size=256)
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(gpt2_config_json(shape, "float32", None)))
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer_json(Tokenizer.bytes_())))
    tensors = {}
    for weight in inventory(shape):
        if weight.tied_to is None:
            size = weight.shape[::-1] if weight.name.endswith(("c_attn.weight", "c_fc.weight", "c_proj.weight")) else weight.shape
            tensors[weight.name] = RawTensor("F32", size, memoryview(bytes(4 * math.prod(size))))
    write_tensors(folder / "model.safetensors", tensors, {"format": "pt"})
    return folder


def said(app: LabApp) -> str:
    return str(app.screen.query_one("#import-words", Static).content)


async def opened(app: LabApp, pilot: Pilot[None], until: Any) -> ImportDialog:
    await until(pilot, lambda: app.runs_known)
    await app.run_action("import_model", app.screen)
    await until(pilot, lambda: isinstance(app.screen, ImportDialog) and app.screen._models)
    assert isinstance(app.screen, ImportDialog)
    return app.screen


class Waiting:
    """Stands for the process of an import, which ends when a test says so."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.end: asyncio.Future[str] | None = None
        self.cancelled = False
        self.sources: list[str] = []
        monkeypatch.setattr(PROCESS, self.run)

    async def run(self, request: Any, progress: Any, on_words: Any) -> str:
        self.sources.append(request.source)
        on_words("Downloading openai-community/gpt2 (548 MB) into the cache.")
        progress(137_000_000, 548_000_000)
        self.end = asyncio.get_running_loop().create_future()
        try:
            return await self.end
        except asyncio.CancelledError:
            self.cancelled = True
            raise


async def test_models_that_are_not_here_say_what_they_take(app: LabApp, until: Any, cache: Path) -> None:
    write_model(cache / "models--distilbert--distilgpt2" / "snapshots" / "1")
    async with app.run_test(size=(80, 24)) as pilot:
        dialog = await opened(app, pilot, until)
        lines = [model.line.split() for model in dialog._models]
        assert [(line[0], line[1], " ".join(line[3:5])) for line in lines] == [
            ("gpt2", "124M", "548 MB"),
            ("distilgpt2", "81.9M", "353 MB"),
            ("gpt2-medium", "355M", "1.5 GB"),
            ("gpt2-large", "774M", "3.2 GB"),
            ("gpt2-xl", "1.6B", "6.4 GB"),
        ]
        assert [" ".join(line[5:]) for line in lines] == ["not here", "here", "not here", "not here", "not here"]
        for words in (str(cache), "548 MB", install_command("hub"), "llmlab import gpt2"):
            assert words in said(app)
        await pilot.press("j")
        await until(pilot, lambda: said(app).startswith("Enter makes a run of it, from "))
        await pilot.press("k", "escape")
        assert not isinstance(app.screen, ImportDialog)


async def test_an_import_goes_on_while_keys_are_answered_can_be_cancelled_and_a_failure_is_told_where_the_user_is(
    app: LabApp, until: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = Waiting(monkeypatch)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(app, pilot, until)
        await pilot.press("enter")
        await until(pilot, lambda: "137 MB of 548 MB" in said(app))
        assert "Downloading openai-community/gpt2" in said(app)
        await pilot.press("j", "enter", "escape")
        line = app.screen.query_one(ModelImport)
        assert "Importing gpt2: ━━━━╌╌╌╌╌╌╌╌╌╌╌╌ 137 MB of 548 MB" in line.render_line(0).text
        assert process.sources == ["gpt2"], "one at a time"
        assert line.would_be_lost() == "the import of gpt2"
        await app.run_action("import_model", app.screen)
        await pilot.press("x")
        await until(pilot, lambda: process.cancelled)
        assert said(app) == "✗ Cancelled; nothing was imported."
        assert not line.display
        await pilot.press("enter")
        await until(pilot, lambda: len(process.sources) == 2)
        assert "137 MB of 548 MB" in said(app)
        await pilot.press("escape")
        assert process.end is not None
        process.end.set_exception(UserError("The network is down."))
        await until(pilot, lambda: [each.message for each in app._notifications][-1:] == ["The network is down."])
        await app.run_action("import_model", app.screen)
        await pilot.pause()
        assert said(app) == "✗ The network is down."
        await until(pilot, lambda: app.screen._models)  # type: ignore[attr-defined]
        await pilot.press("j")
        assert "distilgpt2 is not in" in said(app)


async def test_a_download_is_asked_for_once_more(app: LabApp, until: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    process = Waiting(monkeypatch)
    monkeypatch.setattr("screens.home.import_dialog.can_download", lambda: True)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(app, pilot, until)
        await pilot.press("enter")
        assert said(app) == "gpt2 is not here. Enter once more downloads 548 MB; any other key does not."
        await pilot.press("j", "k", "enter", "tab", "shift+tab", "enter", "j", "enter")
        assert said(app).startswith("distilgpt2 is not here. Enter once more downloads 353 MB")
        assert process.sources == []
        await pilot.press("enter")
        await until(pilot, lambda: "137 MB" in said(app))
        assert process.sources == ["distilgpt2"]


async def test_a_folder_becomes_a_run_that_is_chosen_and_a_wrong_one_says_why(
    app: LabApp, until: Any, make_run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process that imports is a real one; that a folder is refused, where it is no GPT-2, is tested beside it."""

    async def run(request: Any, *functions: Any) -> str:
        if "wrong" in request.source:
            raise UserError("It is a 'llama'.")
        return await run_import_process(request, *functions)

    monkeypatch.setattr(PROCESS, run)
    make_run("older", created=1000.0)
    write_model(tmp_path / "texts" / "od\x1b[31md")
    (tmp_path / "texts" / "wrong\x1b[2J").mkdir()
    async with app.run_test(size=(80, 24)) as pilot:
        dialog = await opened(app, pilot, until)
        await pilot.press("tab", *"wr", "tab")
        field = dialog.query_one(FolderInput)
        await until(pilot, lambda: field.value == "wrong\x1b[2J/")
        await pilot.press("enter")
        await until(pilot, lambda: said(app) == "✗ It is a 'llama'.")
        await until(pilot, lambda: field.has_focus)
        field.value = "od"
        await pilot.press("tab")
        await until(pilot, lambda: field.value == "od\x1b[31md/")
        await pilot.press("enter")
        await until(pilot, lambda: not isinstance(app.screen, ImportDialog))
        table = app.screen.query_one(RunTable)
        await until(pilot, lambda: table.selected is not None and table.selected.is_imported)
        assert app.run_name == table.selected.name
        assert "\x1b" not in table.selected.name
        assert [run.name for run in table.runs] == [table.selected.name, "older"]


def test_picture(snap_compare: Any, app: LabApp, until: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    Waiting(monkeypatch)
    monkeypatch.setattr("lab.runs.home_folder.home", lambda: Path("/home/you/runs"))
    monkeypatch.setattr("lab.exchange.hugging_face.model_folder.hugging_face_hub", lambda: Path("/home/you/hub"))
    monkeypatch.setattr("screens.home.import_dialog.can_download", lambda: True)

    async def ready(pilot: Pilot[None]) -> None:
        await opened(app, pilot, until)
        await until(pilot, lambda: str(app.screen_stack[0].query_one("#machine", Static).content))
        await until(pilot, lambda: app.screen.query_one(OptionList).highlighted == 0)

    assert snap_compare(app, terminal_size=(80, 24), run_before=ready)
