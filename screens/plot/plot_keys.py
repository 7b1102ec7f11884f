"""Keys and the wheel that change the settings of a plot: x axis, scale, smoothing, window."""

from collections.abc import Callable

from textual import on
from textual.binding import Binding

from screens.about_key import About
from screens.base_screen import LabScreen
from screens.plot.line_plot import LinePlot
from screens.plot.plot_settings import PlotSettings


def window_bindings(screen: str) -> list[Binding]:
    """Keys that zoom and pan."""
    return [
        Binding("Z", "close_up", "Zoom y", id=f"{screen}.zoom_y", show=False, tooltip="A close-up on y of the lines, or all")
        | About("Plot"),
        Binding("plus,equals_sign", "zoom(0.5)", "Zoom in", id=f"{screen}.closer", show=False, tooltip="Zoom in")
        | About("Plot", words="zoom", also=(f"{screen}.wider",)),
        Binding("minus", "zoom(2.0)", "Zoom out", id=f"{screen}.wider", show=False, tooltip="Zoom out"),
        Binding("comma", "pan(-0.5)", "Earlier steps", id=f"{screen}.back", show=False, tooltip="Pan to earlier steps")
        | About("Plot", words="pan", also=(f"{screen}.forth",)),
        Binding("full_stop", "pan(0.5)", "Later steps", id=f"{screen}.forth", show=False, tooltip="Pan to later steps"),
        Binding("end,G", "follow", "Follow", id=f"{screen}.follow", show=False, tooltip="Show all of both axes, and follow")
        | About("Plot"),
    ]


class PlotKeys(LabScreen):
    """A screen with a plot whose settings the keys change."""

    def change_plot(self, change: Callable[[PlotSettings], PlotSettings]) -> None:
        raise NotImplementedError

    @property
    def main_plot(self) -> LinePlot:
        """The plot whose settings these are."""
        raise NotImplementedError

    def action_axis(self) -> None:
        self.change_plot(PlotSettings.next_x)

    def action_log_y(self) -> None:
        figure = self.main_plot.figure
        if figure is not None:
            self.change_plot(lambda settings: settings.next_scale(figure.log_y, figure.auto_log_y))

    def action_close_up(self) -> None:
        self.change_plot(PlotSettings.next_y)

    def action_smoothing(self) -> None:
        self.change_plot(PlotSettings.next_smoothing)

    def action_recent(self) -> None:
        self.change_plot(lambda settings: settings.following(0.5 if settings == settings.following(1.0) else 1.0))

    def action_follow(self) -> None:
        self.change_plot(PlotSettings.whole)

    def shares_x(self, plot: LinePlot) -> bool:
        """Check that a plot has the x axis of the main one."""
        return plot is self.main_plot

    def zoom_x(self, by: float, x: float) -> None:
        """Zoom on the x axis (`by` below 1: in) about this position on it."""
        raise NotImplementedError

    @on(LinePlot.Wheeled)
    def _zoom_by_wheel(self, message: LinePlot.Wheeled) -> None:
        if not self.shares_x(message.plot):
            return
        message.stop()
        if message.on_y and message.plot is self.main_plot:
            shown, log_y = message.plot.y_range, message.plot.log_y
            self.change_plot(lambda settings: settings.zoomed_y(message.by, shown, message.y, log_y=log_y))
        else:
            self.zoom_x(message.by, message.x)
