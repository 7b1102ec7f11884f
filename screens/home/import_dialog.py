"""Import of a model: the dialog with the GPT-2s that have a name and a folder to type, and the import beside the screen."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import ClassVar

from rich.text import Text
from textual import events, on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.message import Message
from textual.reactive import reactive
from textual.screen import ModalScreen
from textual.strip import Strip
from textual.widget import Widget
from textual.widgets import Input, Label, OptionList, Static
from textual.widgets.option_list import Option
from textual.worker import Worker

from lab.core.errors import UserError
from lab.core.number_format import bytes_, count
from lab.core.visible_text import shortened, visible
from lab.data.path_completion import common_start, completions
from lab.exchange.hugging_face.model_folder import HUB_MODELS, cached_model, can_download, install_sentence, missing_clause
from lab.runs.home_folder import home
from screens.background import in_thread, latest
from screens.dialogs.ask import Choices
from screens.widgets.text_fitting import fit, painted_line

BAR = 16


@dataclass(frozen=True)
class ImportState:
    """An import that is under way."""

    source: str
    """The model's name, or its folder."""
    words: str = "Starting."
    done: int = 0
    total: int = 0
    """Bytes of a download; 0 where nothing is downloaded."""

    @property
    def progress(self) -> str:
        """A bar with the size of a download; empty for any other step."""
        if not self.total:
            return ""
        filled = round(BAR * self.done / self.total)
        return f"{'━' * filled}{'╌' * (BAR - filled)} {bytes_(self.done)} of {bytes_(self.total)}"


class ModelImport(Widget):
    """One line, shown while a model is imported."""

    COMPONENT_CLASSES = {"model-import--words"}
    DEFAULT_CSS = """
    ModelImport {
        height: 1; margin: 0 2; display: none;
        &.-busy { display: block; }
        & > .model-import--words { color: $text-accent; }
    }
    """
    state: reactive[ImportState | None] = reactive(None)
    problem: reactive[str] = reactive("")
    """The reason why the last import failed; empty if it did not."""

    @dataclass
    class Finished(Message):
        """The run of this name exists."""

        name: str

    @dataclass
    class Failed(Message):
        """Nothing was imported; the reason in a sentence."""

        sentence: str

    _worker: Worker[None] | None = None

    def begin(self, source: str) -> None:
        """Import a model, by its name or folder. One at a time: while one is under way nothing is begun."""
        if self.state is None:
            self.problem = ""
            self.state = ImportState(source)
            self._worker = self._import(source)

    def cancel(self) -> None:
        """End the import; nothing of it remains."""
        if self._worker is not None and self.state is not None:
            self._worker.cancel()
            self.state = None
            self.problem = "Cancelled; nothing was imported."

    def would_be_lost(self) -> str:
        return f"the import of {_short(self.state.source)}" if self.state is not None else ""

    def watch_state(self, state: ImportState | None) -> None:
        self.set_class(state is not None, "-busy")

    @work(group="import", exclusive=True, exit_on_error=True)
    async def _import(self, source: str) -> None:
        from lab.exchange.hugging_face.import_run import ImportRequest, run_import_process

        try:
            name = await run_import_process(ImportRequest(source, str(home())), self._tell_progress, self._tell)
        except UserError as error:
            self.state = None
            self.problem = str(error)
            self.post_message(self.Failed(str(error)))
        else:
            self.state = None
            self.post_message(self.Finished(name))

    def _tell(self, words: str) -> None:
        if self.state is not None:
            self.state = ImportState(self.state.source, words)

    def _tell_progress(self, done: int, total: int) -> None:
        if self.state is not None:
            self.state = replace(self.state, done=done, total=total)

    def render_line(self, y: int) -> Strip:
        words = ""
        if self.state is not None:
            at = self.state.progress or visible(self.state.words)
            words = f"Importing {_short(self.state.source)}: {at} · ctrl+p, then import, shows it"
        return painted_line(self, "model-import", [(fit(words, self.size.width), "words")])


def _short(source: str) -> str:
    return visible(shortened(source, 60))


ORDER = ("gpt2", "distilgpt2", "gpt2-medium", "gpt2-large", "gpt2-xl")


@dataclass(frozen=True)
class ListedModel:
    """A GPT-2 that has a name, as the list shows it."""

    name: str
    parameters: int
    bytes: int
    folder: str
    """Its folder in the Hugging Face cache; empty where it is not there."""
    can_download: bool

    @property
    def line(self) -> str:
        size, kind = bytes_(self.bytes), "here" if self.folder else "to download" if self.can_download else "not here"
        return f"{self.name:<12} {count(self.parameters):>5} parameters  {size:>7}  {kind}"

    @property
    def sentence(self) -> str:
        """A sentence on where it is, or on what it takes to have it here."""
        if self.folder:
            return f"Enter makes a run of it, from {visible(shortened(self.folder, 150))}."
        if self.can_download:
            return f"{missing_clause(self.name)}. Enter twice downloads {bytes_(self.bytes)} into it, then makes a run of it."
        return f"{install_sentence(self.name)} After that, Enter here or: llmlab import {self.name}"


def listed_models() -> list[ListedModel]:
    """The GPT-2s that have a name. Looks into the Hugging Face cache."""
    found = []
    for name in ORDER:
        model, cached = HUB_MODELS[name], cached_model(name)
        folder = str(cached.path) if cached is not None else ""
        found.append(ListedModel(name, model.parameters, model.download_bytes, folder, can_download()))
    return found


class FolderInput(Input):
    """A path field; Tab completes the folder as a shell does, or goes on where there is nothing to complete."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("tab", "complete", "Complete", id="import.complete", tooltip="Complete the folder's path, or go on")
    ]

    @latest("completions")
    async def action_complete(self) -> None:
        typed = self.value
        lines = await in_thread(completions, typed) if typed else []
        if typed != self.value:
            return
        longer = common_start([line for line in lines if line.endswith("/")])
        if len(longer) > len(typed):
            self.value = longer
            self.cursor_position = len(longer)
        else:
            self.screen.focus_next()


class ImportDialog(ModalScreen[None]):
    """Begins an import, and shows it; it goes on when the dialog is closed."""

    BINDINGS = [
        Binding("escape", "dismiss", "Close", id="import.close", tooltip="Close; an import that is under way goes on"),
        Binding("x", "cancel", "Cancel", id="import.cancel", tooltip="Cancel the import"),
    ]

    def __init__(self, running: ModelImport) -> None:
        super().__init__()
        self._model_import = running
        self._models: list[ListedModel] = []
        self._at = 0
        self._asked = ""

    def compose(self) -> ComposeResult:
        with Vertical(id="import") as box:
            box.border_title = "import GPT-2's weights"
            yield Choices(*(Option(name) for name in ORDER), markup=False)
            with Horizontal(id="import-path"):
                yield Label("folder")
                hint = "or the folder of a GPT-2 in Hugging Face's layout"
                yield FolderInput(id="import-folder", placeholder=hint, compact=True)
            yield Static(id="import-words", markup=False)

    def on_mount(self) -> None:
        self.query_one(OptionList).focus()
        self.watch(self._model_import, "state", self._follow, init=False)
        self.watch(self._model_import, "problem", self._show_words, init=False)
        self._show_words()
        self._look()

    @latest("look")
    async def _look(self) -> None:
        self._models = await in_thread(listed_models)
        models = self.query_one(OptionList)
        at = models.highlighted
        models.set_options(Option(model.line) for model in self._models)
        models.highlighted = at or 0
        self._show_words()

    def _follow(self, before: ImportState | None, now: ImportState | None) -> None:
        if before is not None and now is None:
            self.call_later(self._end_with, before.source)
        self._show_words()

    def _end_with(self, source: str) -> None:
        """Close if the import has ended well; after a folder was refused, let another be typed."""
        if self._model_import.state is not None or not self.is_current:
            return
        if not self._model_import.problem:
            self.dismiss(None)
        elif source not in HUB_MODELS:
            self.query_one(FolderInput).focus()

    def _show_words(self) -> None:
        words, state = self.query_one("#import-words", Static), self._model_import.state
        problem = self._model_import.problem
        words.set_class(state is None and bool(problem), "-wrong")
        if state is not None:
            importing = f"Importing {visible(shortened(state.source, 150))}."
            words.update(f"{importing}\n▸ {visible(state.words)}\n{state.progress}")
        elif problem:
            words.update(f"✗ {problem}")
        else:
            words.update(self._about_choice())
        keys = "x cancel · Esc close, it goes on" if state is not None else "Enter import · Tab folder · Esc close"
        self.query_one("#import").border_subtitle = Text(keys)

    def _about_choice(self) -> str:
        if self.query_one(FolderInput).has_focus:
            return "The folder holds config.json, the weights as safetensors and the tokenizer. Tab completes, Enter imports."
        at = self.query_one(OptionList).highlighted
        if not self._models or at is None:
            return ""
        model = self._models[at]
        if model.name == self._asked:
            return f"{model.name} is not here. Enter once more downloads {bytes_(model.bytes)}; any other key does not."
        return model.sentence

    @on(OptionList.OptionHighlighted)
    def _moved(self, event: OptionList.OptionHighlighted) -> None:
        if event.option_index != self._at:  # else the list has just been filled
            self._at = event.option_index
            self._asked = ""
            self._chosen_another()
        self._show_words()

    @on(Input.Changed)
    def _chosen_another(self) -> None:
        if self._model_import.state is None:
            self._model_import.problem = ""
        self._show_words()

    def on_descendant_focus(self, event: events.DescendantFocus) -> None:
        self._asked = ""
        self._show_words()

    @on(OptionList.OptionSelected)
    def _import_model(self, event: OptionList.OptionSelected) -> None:
        if not self._models:
            return
        model = self._models[event.option_index]
        if model.can_download and not model.folder and self._asked != model.name and self._model_import.state is None:
            self._asked = model.name
            self._chosen_another()
        else:
            self._asked = ""
            self._begin(model.name)

    @on(Input.Submitted)
    def _import_folder(self, event: Input.Submitted) -> None:
        if folder := os.path.expanduser(event.value.strip()):
            # A folder in the working directory may have the name of a model of the list.
            self._begin(folder if os.path.dirname(folder) else os.path.join(".", folder))

    def _begin(self, source: str) -> None:
        self.query_one(OptionList).focus()  # where x cancels
        self._model_import.begin(source)

    def action_cancel(self) -> None:
        self._model_import.cancel()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return self._model_import.state is not None if action == "cancel" else True
