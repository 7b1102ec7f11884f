"""The keys that change how a run's curves are shown, and what stands beside them."""

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
    "course",
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
    """A screen with a `RunView`, whose curves these keys zoom, move and measure."""

    BINDINGS = [
        Binding("c", "cursor", "Cursor", id="train.cursor", tooltip="A cursor on the curve, to read every number at a step"),
        Binding("d", "panels", "Details", id="train.panels", tooltip="Rate, gradient norm, speed; the machine; what it writes"),
        Binding("e", "page('heads')", "Heads", id="train.heads", tooltip="What each attention head has learned to look at"),
        Binding("t", "page('probe')", "Place", id="train.probe", tooltip="A fixed place in the text, at every evaluation"),
        Binding("g", "page('updates')", "Updates", id="train.updates", tooltip="How much a step changes each part of the model"),
        Binding(
            "enter", "course", "Course", id="train.course", show=False, tooltip="The meters of this head over the steps, large"
        ),
        Binding("z", "recent", "Zoom", id="train.zoom", tooltip="The latest half of the steps, or all of them"),
        Binding("plus,equals_sign", "zoom(0.5)", "Closer", id="train.closer", show=False, tooltip="Look closer, at the cursor"),
        Binding("minus", "zoom(2.0)", "Wider", id="train.wider", show=False, tooltip="Twice as many steps"),
        Binding("comma", "pan(-0.5)", "Earlier steps", id="train.back", show=False, tooltip="To earlier steps of the curve"),
        Binding("full_stop", "pan(0.5)", "Later steps", id="train.forth", show=False, tooltip="To later steps of the curve"),
        Binding("end,G", "follow", "Follow", id="train.follow", show=False, tooltip="The whole curve, as it grows"),
        Binding("a", "axis", "X axis", id="train.axis", show=False, tooltip="Below the curve: steps, tokens, epochs or time"),
        Binding("y", "log_y", "Log scale", id="train.log", show=False, tooltip="Loss on a logarithmic or a linear scale"),
        Binding("b", "bits", "Bits per byte", id="train.bits", show=False, tooltip="Bits per byte or nats per token"),
        Binding("m", "smoothing", "Smoothing", id="train.smoothing", show=False, tooltip="Smoothing: medium, strong or light"),
        Binding(
            "f", "baselines", "Baselines", id="train.baselines", show=False, tooltip="Baseline losses: uniform, text, source"
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

    def action_course(self) -> None:
        self.view.inside.course = not self.view.inside.course

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
