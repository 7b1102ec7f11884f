"""The pane of the run under the cursor: its loss curve, read in a thread, its settings, its last sample, and the next step."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.message import Message
from textual.widgets import Static

from lab.analysis.loss_curve import NO_CURVE, Evaluations, LossCurve, LossCurves
from lab.core.number_format import count, counted, fixed, whole
from lab.core.visible_text import visible
from lab.runs.home_folder import watched_machine
from lab.runs.metrics_log import LineReader
from lab.runs.run_folder import Run
from lab.runs.run_schema import Sample
from lab.runs.run_summary import RunSummary
from screens.plot.figure import loss_figure
from screens.plot.line_plot import LinePlot
from screens.widgets.fact_list import Fact, FactList
from screens.widgets.text_fitting import printable

SAMPLES = 5


@dataclass(frozen=True)
class RunDetail:
    """A run as the pane shows it."""

    run: RunSummary
    curve: LossCurve
    evaluations: tuple[tuple[float, float], ...]
    """Step and validation loss."""
    samples: tuple[Sample, ...]
    """What it wrote after its last prompt, spread over the steps, the newest first."""


class CurveReader:
    """Reads again only what has changed on disk. Not thread-safe."""

    def __init__(self) -> None:
        self._curves = LossCurves()
        self._detailed: tuple[Path, Evaluations, LineReader[Sample]] | None = None
        """The folder of the run whose detail was read last, and its evaluations and samples."""
        self._samples: list[Sample] = []

    def read(self, runs: Sequence[RunSummary], detailed: RunSummary | None) -> tuple[dict[Path, LossCurve], RunDetail | None]:
        """The curves of these runs by folder, and the detail of one."""
        curves = {run.path: self._curve(run) for run in runs}
        return curves, None if detailed is None else self._detail(detailed)

    def _curve(self, run: RunSummary) -> LossCurve:
        return NO_CURVE if run.problem else self._curves.read(Run(run.path).metrics_path)

    def _detail(self, run: RunSummary) -> RunDetail:
        import_module("screens.plot.line_plot")  # The pane's: its numpy would hold up the event loop.
        if run.problem:
            return RunDetail(run, NO_CURVE, (), ())
        folder = Run(run.path)
        if self._detailed is None or self._detailed[0] != run.path:
            self._detailed = run.path, Evaluations(folder.metrics_path), LineReader(folder.samples_path, Sample)
            self._samples = []
        _, evaluations, samples = self._detailed
        new = samples.read()
        self._samples = new if samples.restarted else self._samples + new
        written = [sample for sample in reversed(self._samples) if sample.prompt == self._samples[-1].prompt]
        at = {round(number * (len(written) - 1) / (SAMPLES - 1)) for number in range(SAMPLES)} if written else ()
        return RunDetail(run, self._curve(run), evaluations.read(), tuple(written[each] for each in sorted(at)))


ACTIONS = {
    "enter": "screen.choose",
    **{key: f"app.mode('{mode}')" for key, mode in (("2", "data"), ("4", "train"), ("5", "inspect"), ("6", "learn"))},
}
LINKS = {f"key_{key}": f"[@click={action}]{key}[/]" for key, action in ACTIONS.items()}
LINKS["key_import"] = "[@click=screen.import_model]ctrl+p, then gpt2[/]"
"""Markup of each key that the line names: a click does the same."""
NEW_HERE = "New here? {key_6} opens the lessons. {key_5} looks into a model. {key_2} trains on your text."
WENT_WRONG = ("failed", "interrupted", "not answering", "not started")


class LessonAhead(NamedTuple):
    """The lesson to read on with."""

    name: str
    """Its number and title."""
    place: str
    """The step that it was left at, in words; empty if it was not begun."""
    read_at: float
    """Unix time at which a step of a lesson was read last."""


def lesson_ahead(home: Path) -> LessonAhead | None:
    """The lesson to read on with; None before the first, and where all are done."""
    from lab.lessons.learner.progress import progress_path, read_progress

    progress, _ = read_progress(home)
    if not progress.last:
        return None
    from lab.lessons.lesson import lessons_and_problems

    lessons = {each.name: each for each in lessons_and_problems()[0]}
    name = progress.ahead(list(lessons))
    if name is None:
        return None
    lesson, steps = lessons[name], len(lessons[name].steps)
    place = f", at step {min(progress.of(name).step + 1, steps)} of {steps}" if name in progress.lessons else ""
    return LessonAhead(f"lesson {lesson.number}, {lesson.title}", place, progress_path(home).stat().st_mtime)


def next_step(selected: RunSummary | None, newest: RunSummary | None, ended_at: float, lesson: LessonAhead | None) -> Content:
    """The line. A run that trains comes first, then what was last: a lesson, or the end of a run at `ended_at`, 0 without one."""
    if newest is not None and newest.is_active:
        run, key = (selected, "enter") if selected is not None and selected.is_active else (newest, "4")
        return _of_run(f"{{key_{key}}} watches", run)
    first = NEW_HERE.rpartition(" {key_2}")[0] if watched_machine() else NEW_HERE
    if lesson is not None and lesson.read_at > ended_at:
        words = "{key_6} leads to "
        if ended_at:
            return with_links(f"{words}{lesson.name}{lesson.place}.")
        return with_links(f"{words}{lesson.name.partition(',')[0]}.{first.partition('.')[2]}")  # the other two are still ahead
    if selected is not None and selected.is_bundled and newest is not None and not newest.problem:
        return _of_run("{key_4} shows", newest)
    if selected is None or selected.problem or not ended_at:
        return with_links(first)
    return _of_run("{key_enter} looks inside" if opening_mode(selected) == "inspect" else "{key_enter} shows", selected)


def opening_mode(run: RunSummary) -> str:
    """The mode that shows most of a run: Train while it trains, where it went wrong or is watched from afar, else Inspect."""
    return "train" if run.is_active or run.is_watched or run.phase in WENT_WRONG else "inspect"


def _of_run(words: str, run: RunSummary) -> Content:
    from lab.core.number_format import fixed, whole
    from lab.runs.run_summary import shown_phase

    if run.phase == "finished" and run.val_loss is not None:
        return with_links(f"{words} {visible(run.name)}: best val loss {fixed(run.val_loss)} nats per token.")
    at = "" if run.phase == "finished" else f", step {whole(run.step)}{f' of {whole(run.steps)}' if run.steps else ''}"
    phase = shown_phase(run.phase, is_imported=run.is_imported)[1]
    return with_links(f"{words} {visible(run.name)}: {phase}{at}.")


def with_links(words: str) -> Content:
    """Words with a link in place of each `{key_...}`."""
    parts = re.split(r"\{(key_\w+)\}", words)
    return Content("").join(Content.from_markup(LINKS[part]) if at % 2 else Content(part) for at, part in enumerate(parts))


LONGEST_SAMPLE = 240
"""Characters of a prompt and of what was written after it, so that there is room for the samples of earlier steps."""


class RunPane(Vertical):
    """Shows a `RunDetail`; a click anywhere opens the run."""

    DEFAULT_CSS = """
    RunPane {
        border: round $foreground 30%; padding: 0 1; border-title-color: $foreground 90%; border-subtitle-color: $foreground 70%;
        LinePlot { height: 1fr; min-height: 9; }
        FactList { margin: 1 0 0 0; }
        #run-written { height: auto; max-height: 6; margin: 1 0 0 0; }
    }
    """

    @dataclass
    class Clicked(Message):
        """The user has clicked on the pane."""

        run: RunSummary

    detail: RunDetail | None = None

    def compose(self) -> ComposeResult:
        yield LinePlot(id="run-curve")
        yield FactList(id="run-settings")
        yield Static(id="run-written", markup=False)

    def show(self, detail: RunDetail) -> None:
        """Show a run; what has not changed is not drawn again."""
        before, self.detail = self.detail, detail
        run = detail.run
        self.border_title = Text(run.name)
        self.border_subtitle = f"enter {'watches it' if opening_mode(run) == 'train' else 'looks inside'}"
        elsewhere = "Imported: trained elsewhere." if run.is_imported else "See Learn: After pretraining."
        empty = elsewhere if run.is_imported or run.is_posttrained else "No steps yet."
        self.query_one(LinePlot).figure = loss_figure(run.path, detail.curve, detail.evaluations, empty=empty)
        self.query_one(FactList).facts = facts_of(run)
        if before is None or before.samples != detail.samples:
            self.query_one("#run-written", Static).update(Text("\n\n").join(map(sample_text, detail.samples)))

    def on_click(self) -> None:
        if self.detail is not None:
            self.post_message(self.Clicked(self.detail.run))


def facts_of(run: RunSummary) -> tuple[Fact, ...]:
    """The run's settings and where it stands."""
    if run.model is None or run.train is None:
        return (("damaged", run.problem),)
    model, train = run.model, run.train
    shape = f"{counted(model.layers, 'layer')}, {counted(model.heads, 'head')}, width {model.width}, context {model.context}"
    facts = [
        ("text", f"{run.text}, vocabulary {whole(model.vocab_size)}"),
        ("model", f"{shape}: {count(run.parameters)} parameters"),
    ]
    if not run.is_imported:
        facts.append(("training", f"{run.plan}, batch {train.batch}, {train.optimizer}, lr {train.lr:g}"))
    if run.origin:
        facts.append(("origin", run.origin))
    if run.val_loss is not None:
        on = f" on {run.evaluated.in_words}" if run.evaluated is not None else ""
        at = "" if run.val_step is None or run.is_imported else f" @ {count(run.val_step)}"
        facts.append(("best val loss", f"{fixed(run.val_loss)}{at}{on}"))
    return tuple(facts)


def sample_text(sample: Sample) -> Text:
    """The prompt, underlined, and what the model wrote after it."""
    prompt, written = (
        printable(each[:LONGEST_SAMPLE] + "…" * (len(each) > LONGEST_SAMPLE)) for each in (sample.prompt, sample.text)
    )
    return Text.assemble((f"sample at step {whole(sample.step)}  ", "dim"), (prompt, "bold underline"), written)
