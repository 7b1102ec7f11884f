"""Home: the pipeline from text to prediction, the runs, the machine."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Container, Horizontal
from textual.content import Content
from textual.widgets import Input, Static

from lab.analysis.run_filter import run_filter
from lab.core.errors import UserError
from lab.core.number_format import bytes_, counted, probability
from lab.views.screen_state import ScreenState
from screens.about_key import About, described, keyless
from screens.background import in_thread, latest
from screens.base_screen import LabScreen
from screens.home.pipeline_map import LessonAhead, PipelineMap, lesson_ahead, next_step, opening_mode, with_links
from screens.home.run_table import MARKS, PARTIAL, RunTable, is_partial
from screens.messages import ActOnRun, CompareRuns, FineTune, RunChosen, RunRenamed, RunsChanged

if TYPE_CHECKING:
    from lab.analysis.loss_curve import LossCurve
    from lab.core.machine import Machine
    from lab.runs.run_summary import RunSummary
    from screens.home.curve_reader import CurveReader, RunDetail
    from screens.home.import_dialog import ModelImport

    Asked = tuple[tuple[RunSummary, ...], RunSummary | None]

IMPORT_HINT = "GPT-2 itself: {key_import}, imports its weights as a run."

A_RUN = "a run under the cursor"

OF_A_RUN = ("choose", "compare", "fine_tune", "act")


class HomeScreen(LabScreen):
    """The mode that the lab opens with."""

    MODE = "home"
    STYLES = ()
    HEADINGS = ("Runs",)
    HELP = """
The pipeline from text to prediction, with the key of the mode that shows each step; below, your runs.

A **run** is one model trained on one text. It is a folder on disk, and training continues when the lab is closed. `val loss` is
the last validation loss in nats per token; `bits/byte` is the same loss in a unit that compares across tokenizers. Both are
measured on text that the run never trains on: part of it during training, marked `~`, all of it at the end. `loss` draws the
training loss over the steps, each run on its own logarithmic scale. `demo` and `induction` are bundled with the lab.

**Find.** `/` takes words of the name, text, tokenizer or state, and conditions: `stories loss<2.5`. **GPT-2 itself** becomes a
run by `ctrl+p`, then `gpt2`; `f` trains on from a run's weights with a text of yours: *fine-tuning*.
"""
    BINDINGS = described(
        Binding("i", "choose('inspect')", "Inspect", id="home.inspect", tooltip="Inspect this run's model"),
        About("Runs", synonyms="look inside open", rank=1, needs=A_RUN),
        Binding("n", "app.mode('data')", "New", id="home.new", tooltip="New run: choose its text"),
        About("Runs", synonyms="create start train", rank=1),
        Binding("slash", "filter", "Find", id="home.filter", key_display="/", tooltip="Find runs by their words or numbers"),
        About("Runs", synonyms="filter search name text tokenizer state condition list", rank=1),
        Binding("c", "compare", "Compare", id="home.compare", tooltip="Compare the marked runs, or this one with another"),
        About("Runs", synonyms="difference side by side runs", needs=A_RUN),
        Binding("v", "group", "By text", id="home.group", tooltip="View the runs by their text, or by age"),
        About("Runs", synonyms="group sort order texts"),
        Binding("a", "act('clone')", "Clone", id="home.clone", tooltip="A new run with this run's settings and text"),
        About("Runs", synonyms="copy duplicate repeat again same settings train longer other learning rate steps", needs=A_RUN),
        Binding("f", "fine_tune", "Fine-tune", id="home.fine_tune", tooltip="A new run that begins with this run's weights"),
        About("Runs", synonyms="finetune finetuning from pretrained weights continue train on start base", needs=A_RUN),
        Binding("r", "act('rename')", "Rename", id="home.rename", tooltip="Rename this run"),
        About("Runs", synonyms="name title", needs=A_RUN),
        Binding("x,delete", "act('delete')", "Delete", id="home.delete", tooltip="Delete this run; asks first"),
        About("Runs", synonyms="remove erase disk", needs=A_RUN),
        keyless("choose('train')", "home.watch", "Watch this run's training", "Watch"),
        About(needs=A_RUN, synonyms="progress plot samples resume pause stop training export report"),
        keyless("import_model", "home.import", "Import GPT-2's weights, or a model folder, as a run", "Import"),
        About(
            synonyms="gpt-2 gpt2 distilgpt2 hugging face huggingface hub transformers pretrained weights download load open model"
        ),
    )
    AUTO_FOCUS = "RunTable"
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (100, "-wide"), (120, "-pane"), (160, "-large")]

    def __init__(self) -> None:
        super().__init__()
        self._curve_reader: CurveReader | None = None
        self._asked: Asked = ((), None)
        """What was asked of the files last: the runs in sight, and the one whose detail is shown."""
        self._is_reading = False
        self._lesson: LessonAhead | None = None
        self._filter_problem = ""
        self._awaited = ""
        """Name of a new run, or of one chosen elsewhere, that the cursor goes to once it is listed."""

    def compose_body(self) -> ComposeResult:
        yield PipelineMap(id="path")
        yield Static(id="next-step")
        with Horizontal(id="home-middle"):
            yield RunTable(id="runs")
            yield Container(id="run-pane")
        yield Static(id="run-line")
        yield Static(id="machine")

    def on_mount(self) -> None:
        self.watch(self.lab, "runs", self._show_runs)
        self.watch(self.lab, "run_name", self._follow_run, init=False)
        self.watch(self.lab, "runs_known", self._read_facts)
        self.watch(self.lab, "language", self._read_lesson, init=False)

    def _read_facts(self, runs_known: bool) -> None:
        """Read the other facts after the runs: the first paint would wait for the threads."""
        if runs_known:
            self._show_machine()
            self._read_lesson()

    def _show_runs(self, runs: tuple[RunSummary, ...]) -> None:
        table = self.query_one(RunTable)
        table.there = runs
        table.list_runs()
        if any(run.name == self._awaited for run in runs):
            table.show_run(self._awaited)
            self._awaited = ""
        self._read_curves()

    def _follow_run(self, name: str) -> None:
        if self.lab.runs_known:  # else it is only the first of those that have been found
            self._awaited = name
            self._show_runs(self.lab.runs)

    def on_resize(self) -> None:
        self.call_after_refresh(self._read_curves)

    def _read_curves(self) -> None:
        """Read what is in sight and has changed, off the event loop; at most one reading at a time."""
        table = self.query_one(RunTable)
        asked = (table.in_sight, table.selected if self.query_one("#run-pane").display else None)
        if not self._is_reading and asked != self._asked and self.is_current:
            self._asked, self._is_reading = asked, True
            self._read_files(asked)

    @work(group="curves")
    async def _read_files(self, asked: Asked) -> None:
        def read() -> tuple[dict[Path, LossCurve], RunDetail | None]:
            if self._curve_reader is None:
                from screens.home.curve_reader import CurveReader

                self._curve_reader = CurveReader()
            return self._curve_reader.read(*asked)

        curves, detail = await in_thread(read)
        self._is_reading = False
        if not self.query(RunTable):
            return  # the lab has been closed meanwhile
        table = self.query_one(RunTable)
        if curves != table.curves:
            table.curves = curves
        if detail is not None:
            from screens.home.run_pane import RunPane

            panes = self.query(RunPane)
            if not panes:
                await self.query_one("#run-pane").mount(RunPane())
                if not (self.query("#run-written") and self.query(RunTable)):
                    return  # closed meanwhile
            self.query_one(RunPane).show(detail)
        self._read_curves()

    def on_screen_resume(self) -> None:
        self._read_curves()
        if self.lab.runs_known:
            self._read_lesson()

    @latest("lesson")
    async def _read_lesson(self) -> None:
        def read() -> LessonAhead | None:
            from lab.runs.home_folder import home

            return lesson_ahead(home())

        self._lesson = await in_thread(read)
        self._lead()

    def _lead(self) -> None:
        if self.lab.runs_known:
            ended_at = max((run.last_heartbeat for run in self.lab.runs if not run.is_bundled), default=0.0)
            words = next_step(self.selected, self.lab.newest_run(), ended_at, self._lesson)
            line = self.query_one("#next-step", Static)
            if line.content != words:
                line.update(words, layout=False)

    @latest("machine")
    async def _show_machine(self) -> None:
        def read() -> tuple[Machine, str]:
            from lab.core.machine import machine
            from lab.runs.home_folder import home, watched_machine

            return machine(), f"the home of {watched_machine()}, read-only" if watched_machine() else str(home())

        facts, folder = await in_thread(read)
        self.query_one("#machine", Static).update(_of_machine(facts, folder))

    @on(RunTable.Opened)
    def _open_run(self) -> None:
        self.action_choose()

    def action_choose(self, mode: str = "") -> None:
        if self.selected is not None:
            self.post_message(RunChosen(self.selected.name, mode or opening_mode(self.selected)))

    @on(RunTable.Moved)
    def _tell_of_run(self) -> None:
        table = self.query_one(RunTable)
        line = self.query_one("#run-line", Static)
        run = table.selected
        none = "No run matches; escape shows all." if run is None and self.lab.runs else ""
        words = self._filter_problem or none or _of_marks(table.marked) or _of_trouble(run)
        line.set_class(bool(words), "-notice")
        has_import = not self.lab.runs_known or any(run.is_imported for run in self.lab.runs)
        said = words or _of_part(run)
        line.update(Content(said) if said or has_import else with_links(IMPORT_HINT), layout=False)  # it has one line
        self._lead()
        self.refresh_bindings()
        self._read_curves()

    async def action_filter(self) -> None:
        if not self.query("#run-filter"):
            hint = "words of name, text, tokenizer or state; or loss<2.5"
            await self.mount(Input(id="run-filter", placeholder=hint, compact=True), before="#home-middle")
        field = self.query_one("#run-filter", Input)
        field.display = True
        field.focus()

    @on(Input.Changed, "#run-filter")
    def _filter_typed(self, event: Input.Changed) -> None:
        """List the runs that match; while the last word is no condition yet, those that match the others."""
        table, self._filter_problem = self.query_one(RunTable), ""
        try:
            table.matches = run_filter(event.value)
        except UserError as error:
            self._filter_problem = str(error)
            with suppress(UserError):
                table.matches = run_filter(event.value.rpartition(" ")[0])
        table.list_runs()

    @on(Input.Submitted, "#run-filter")
    def _filter_taken(self, event: Input.Submitted) -> None:
        event.input.display = bool(event.value.strip())
        self.query_one(RunTable).focus()

    def action_group(self) -> None:
        table = self.query_one(RunTable)
        table.by_text = not table.by_text
        table.list_runs()

    def action_back(self) -> None:
        shown = [field for field in self.query("#run-filter").results(Input) if field.display]
        for field in shown:
            field.value, field.display = "", False
        if shown:
            self.query_one(RunTable).focus()
        else:
            super().action_back()

    @on(RunRenamed)
    def _keep_mark(self, message: RunRenamed) -> None:
        table = self.query_one(RunTable)
        table.marked = tuple(message.now if name == message.before else name for name in table.marked)

    @property
    def selected(self) -> RunSummary | None:
        return self.query_one(RunTable).selected

    def screen_state(self) -> ScreenState:
        return ScreenState(mode=self.MODE, run=self.selected.name if self.selected is not None else "")

    def action_compare(self) -> None:
        """Compare the marked runs; a single one with the run under the cursor; that one, if it is alone, with another."""
        marked = self.query_one(RunTable).marked
        if len(marked) < 2 and self.selected is not None:
            marked = tuple(dict.fromkeys((*marked, self.selected.name)))
        if marked:
            self.post_message(CompareRuns(marked))

    async def action_import_model(self) -> None:
        from screens.home.import_dialog import ImportDialog, ModelImport

        if not self.query("#import-line"):
            await self.mount(ModelImport(id="import-line"), after="#home-middle")
        self.app.push_screen(ImportDialog(self.query_one("#import-line", ModelImport)))

    def on_model_import_finished(self, message: ModelImport.Finished) -> None:
        self.notify(f"Imported {message.name}.", markup=False)
        self.post_message(RunChosen(message.name))
        self.post_message(RunsChanged())

    def on_model_import_failed(self, message: ModelImport.Failed) -> None:
        from screens.home.import_dialog import ImportDialog

        if not isinstance(self.app.screen, ImportDialog):  # which shows it
            self.notify(message.sentence, severity="error", markup=False, timeout=12)

    def action_fine_tune(self) -> None:
        if self.selected is not None:
            self.post_message(FineTune(self.selected.name))

    def action_act(self, action: Literal["clone", "rename", "delete"]) -> None:
        if self.selected is not None:
            self.post_message(ActOnRun(action, self.selected))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return action not in OF_A_RUN or self.selected is not None


def _of_marks(marked: tuple[str, ...]) -> str:
    if not marked:
        return ""
    names = ", ".join(f"{letter} {name}" for letter, name in zip(MARKS, marked, strict=False))
    return f"{names}: c compares {'them' if len(marked) > 1 else 'it with the run under the cursor'} · m mark/unmark"


def _of_part(run: RunSummary | None) -> str:
    if run is None or run.evaluated is None or not is_partial(run):
        return ""
    share = probability(run.evaluated.part / run.evaluated.total, 0)
    return f"val loss in nats per token; {PARTIAL} on {share} of the validation text"


def _of_trouble(run: RunSummary | None) -> str:
    if run is not None and run.problem:
        return f"{run.name} is damaged: {run.problem}. x deletes it."
    if run is None or not run.owner or run.is_watched:
        return ""
    if run.is_active:
        return f"{run.name} is trained by {run.owner}, another machine. Watch, pause and stop work from here."
    return f"{run.name} was trained by {run.owner}, another machine."


def _of_machine(machine: Machine, folder: str) -> Content:
    has = f"{machine.processor}, {counted(machine.cores, 'core')}, {bytes_(machine.memory)} memory"
    words = "[$foreground 60%]This machine:[/] $has, trains on the $by. [$foreground 60%]Runs are in[/] $home"
    return Content.from_markup(words, has=has, by=machine.gpu or "CPU", home=folder)
