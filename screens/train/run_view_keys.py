"""Keys of the run view: plot settings, cursor, pages."""

from __future__ import annotations

from dataclasses import replace

from textual.binding import Binding

from screens.base_screen import LabScreen
from screens.train.insights.insights_view import InsightsPage
from screens.train.run_view import RunView

RUN_VIEW_ACTIONS = (
    "cursor",
    "panels",
    "page",
    "head_history",
    "recent",
    "zoom",
    "pan",
    "follow",
    "axis",
    "log_y",
    "bits",
    "smoothing",
    "baselines",
)


class RunViewKeys(LabScreen):
    """A screen with a `RunView`, and the keys that act on it."""

    BINDINGS = [
        Binding("c", "cursor", "Cursor", id="train.cursor", tooltip="A cursor on the curve: every number at a step"),
        Binding(
            "d", "panels", "Details", id="train.panels", tooltip="Learning rate, gradient norm, speed; machine usage; samples"
        ),
        Binding("e", "page('heads')", "Heads", id="train.heads", tooltip="Scores of every attention head"),
        Binding(
            "t",
            "page('probe')",
            "Probe",
            id="train.probe",
            tooltip="A fixed position of the validation text, at every evaluation",
        ),
        Binding(
            "g",
            "page('updates')",
            "Updates",
            id="train.updates",
            tooltip="Update size and gradient norm of each part of the model",
        ),
        Binding(
            "enter",
            "head_history",
            "History",
            id="train.head_history",
            show=False,
            tooltip="Plot this head's scores over the steps",
        ),
        Binding("z", "recent", "Zoom", id="train.zoom", tooltip="The latest half of the steps, or all"),
        Binding("plus,equals_sign", "zoom(0.5)", "Zoom in", id="train.closer", show=False, tooltip="Zoom in, at the cursor"),
        Binding("minus", "zoom(2.0)", "Zoom out", id="train.wider", show=False, tooltip="Zoom out"),
        Binding("comma", "pan(-0.5)", "Earlier steps", id="train.back", show=False, tooltip="Pan to earlier steps"),
        Binding("full_stop", "pan(0.5)", "Later steps", id="train.forth", show=False, tooltip="Pan to later steps"),
        Binding("end,G", "follow", "Follow", id="train.follow", show=False, tooltip="Show the whole curve, and follow"),
        Binding("a", "axis", "X axis", id="train.axis", show=False, tooltip="X axis: steps, tokens, epochs or time"),
        Binding("y", "log_y", "Log scale", id="train.log", show=False, tooltip="Loss on a logarithmic or a linear scale"),
        Binding("b", "bits", "Bits per byte", id="train.bits", show=False, tooltip="Bits per byte or nats per token"),
        Binding("m", "smoothing", "Smoothing", id="train.smoothing", show=False, tooltip="Smoothing: medium, strong or light"),
        Binding(
            "f", "baselines", "Baselines", id="train.baselines", show=False, tooltip="Baselines: uniform, unigram, bigram, source"
        ),
    ]

    @property
    def view(self) -> RunView:
        """The view of the run being watched."""
        return self.query_one(RunView)

    def action_cursor(self) -> None:
        self.view.toggle_cursor()

    def action_panels(self) -> None:
        self.view.page = {"words": "curves", "curves": "machine"}.get(self.view.page, "words")  # type: ignore[assignment]

    def action_page(self, page: InsightsPage) -> None:
        self.view.page = "words" if self.view.page == page else page

    def action_head_history(self) -> None:
        self.view.insights.history_shown = not self.view.insights.history_shown

    def action_recent(self) -> None:
        seen = self.view.plot_view
        self.view.plot_view = seen.following(0.5 if seen == seen.following(1.0) else 1.0)

    def action_zoom(self, by: float) -> None:
        self.view.zoom(by)

    def action_pan(self, by: float) -> None:
        self.view.pan(by)

    def action_follow(self) -> None:
        self.view.plot_view = self.view.plot_view.following(1.0)

    def action_axis(self) -> None:
        self.view.plot_view = self.view.plot_view.next_x()

    def action_log_y(self) -> None:
        self.view.plot_view = replace(self.view.plot_view, log_y=not self.view.plot_view.log_y)

    def action_bits(self) -> None:
        self.view.plot_view = replace(self.view.plot_view, bits=not self.view.plot_view.bits)

    def action_smoothing(self) -> None:
        self.view.plot_view = self.view.plot_view.next_smoothing()

    def action_baselines(self) -> None:
        self.view.plot_view = replace(self.view.plot_view, baselines=not self.view.plot_view.baselines)
