"""Keys that change the settings of a plot: x axis, scale, smoothing, window."""

from collections.abc import Callable
from dataclasses import replace

from textual.binding import Binding

from screens.base_screen import LabScreen
from screens.plot.plot_settings import PlotSettings


def window_bindings(screen: str) -> list[Binding]:
    """Keys that zoom and pan."""
    return [
        Binding("plus,equals_sign", "zoom(0.5)", "Zoom in", id=f"{screen}.closer", show=False, tooltip="Zoom in"),
        Binding("minus", "zoom(2.0)", "Zoom out", id=f"{screen}.wider", show=False, tooltip="Zoom out"),
        Binding("comma", "pan(-0.5)", "Earlier steps", id=f"{screen}.back", show=False, tooltip="Pan to earlier steps"),
        Binding("full_stop", "pan(0.5)", "Later steps", id=f"{screen}.forth", show=False, tooltip="Pan to later steps"),
        Binding("end,G", "follow", "Follow", id=f"{screen}.follow", show=False, tooltip="Show the whole curve, and follow"),
    ]


class PlotKeys(LabScreen):
    """A screen with a plot whose settings the keys change."""

    def change_plot(self, change: Callable[[PlotSettings], PlotSettings]) -> None:
        raise NotImplementedError

    def action_axis(self) -> None:
        self.change_plot(PlotSettings.next_x)

    def action_log_y(self) -> None:
        self.change_plot(lambda settings: replace(settings, log_y=not settings.log_y))

    def action_smoothing(self) -> None:
        self.change_plot(PlotSettings.next_smoothing)

    def action_recent(self) -> None:
        self.change_plot(lambda settings: settings.following(0.5 if settings == settings.following(1.0) else 1.0))

    def action_follow(self) -> None:
        self.change_plot(lambda settings: settings.following(1.0))
