"""The pane of the run under the cursor: its loss curve, its settings, its last sample."""

from __future__ import annotations

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.widgets import Static

from lab.core.number_format import count, counted, fixed, whole
from lab.runs.run_schema import Sample
from lab.runs.run_summary import RunSummary
from screens.home.curve_reader import RunDetail
from screens.home.pipeline_map import opening_mode
from screens.messages import RunChosen
from screens.plot.figure import loss_figure
from screens.plot.plot_widget import LinePlot
from screens.widgets.piece_lines import Fact, FactList
from screens.widgets.text_fitting import printable

LONGEST_SAMPLE = 240
"""Characters of a prompt and of what was written after it, so that there is room for the samples of earlier steps."""


class RunPane(Vertical):
    """Shows a `RunDetail`; a click anywhere opens the run."""

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
            self.post_message(RunChosen(self.detail.run.name, "train"))


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
        facts.append(("val loss", f"best {fixed(run.val_loss)}{at}{on}"))
    return tuple(facts)


def sample_text(sample: Sample) -> Text:
    """The prompt, underlined, and what the model wrote after it."""
    prompt, written = (
        printable(each[:LONGEST_SAMPLE] + "…" * (len(each) > LONGEST_SAMPLE)) for each in (sample.prompt, sample.text)
    )
    return Text.assemble((f"sample at step {whole(sample.step)}  ", "dim"), (prompt, "bold underline"), written)
