"""The import of a model that is under way: a process of its own, one line on Home, and the state that the dialog shows."""

from __future__ import annotations

from dataclasses import dataclass, replace

from textual import work
from textual.message import Message
from textual.reactive import reactive
from textual.strip import Strip
from textual.widget import Widget
from textual.worker import Worker

from lab.core.errors import UserError
from lab.core.number_format import bytes_
from lab.core.visible_text import shortened, visible
from lab.runs.home_folder import home
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
