"""Settings of a plot as actions: a menu with a line each, keys without a menu for the usual ones, and the wheel."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.screen import ModalScreen
from textual.widgets import OptionList
from textual.widgets.option_list import Option

from lab.core.number_format import probability
from screens.about_key import About, described, keyless
from screens.base_screen import LabScreen
from screens.dialogs.ask import Choices
from screens.plot.figure import Figure
from screens.plot.line_plot import LinePlot
from screens.plot.plot_settings import SMOOTHINGS, PlotSettings
from screens.widgets.text_fitting import fit

SETTINGS = (
    ("axis", "axis", "x axis", "X axis: steps, tokens, epochs or time", "tokens epochs time"),
    ("log_y", "log", "scale of y", "The other scale of y than is shown: logarithmic or linear", "log loss y axis"),
    ("bits", "bits", "unit", "Bits per byte or nats per token", "loss unit bpb"),
    ("smoothing", "smoothing", "smoothing", "Smoothing: medium, strong or light", "loss average noise"),
    ("baselines", "baselines", "baselines", "Baselines: uniform, unigram, bigram, source", "loss floor entropy"),
    ("close_up", "zoom_y", "range of y", "A close-up on y of the lines, or all", "zoom steep beginning loss"),
    ("zoom(0.5)", "closer", "zoom in on x", "Zoom in", "closer magnify plot"),
    ("zoom(2.0)", "wider", "zoom out on x", "Zoom out", "wider plot"),
    ("pan(-0.5)", "back", "pan to earlier", "Pan to earlier steps", "plot scroll left"),
    ("pan(0.5)", "forth", "pan to later", "Pan to later steps", "plot scroll right"),
    ("follow", "follow", "all, and follow", "Show all of both axes, and follow", "reset zoom whole plot"),
)
"""Action, id behind the name of the screen, name in the menu, tooltip and synonyms of each."""


def value_of(id: str, now: PlotSettings, figure: Figure) -> str:
    """The present value of a setting, in words; that of the window stands once."""
    match id:
        case "axis":
            return now.x
        case "log":
            return ("logarithmic" if figure.log_y else "linear") + ", as it shows more" * (now.log_y is None)
        case "bits":
            return "bits per byte" if now.bits else "nats per token"
        case "smoothing":
            return SMOOTHINGS[now.smoothing][0]
        case "baselines":
            return "shown" if now.baselines else "hidden"
        case "zoom_y":
            return "a close-up" if now.y_zoomed else "all"
        case "closer":
            return "a part" if not now.follows else "all" if now.share == 1 else f"the latest {probability(now.share, 0)}"
    return ""


def plot_bindings(screen: str, *left_out: str) -> list[Binding]:
    """The keys of a plot, and its settings without keys but for the ids `left_out`."""
    return described(
        Binding("z", "recent", "Zoom", id=f"{screen}.zoom", tooltip="Zoom: the latest half, or all"),
        About("Plot", words="zoom; settings of the plot", also=(f"{screen}.plot",), synonyms="loss curve plot latest"),
        Binding("s", "plot_menu", "Plot", id=f"{screen}.plot", tooltip="Settings of the plot: axes, scale, unit, smoothing"),
        About(synonyms="options configure x y log"),
        Binding("end,G", "follow", "Follow", id=f"{screen}.follow", show=False, tooltip="Show all of both axes, and follow"),
        About(synonyms="reset zoom whole plot", is_listed=False),
        *(
            keyless(action, f"{screen}.{id}", tooltip, name, About(synonyms=synonyms))
            for action, id, name, tooltip, synonyms in SETTINGS
            if id not in (*left_out, "follow")  # which has a key
        ),
    )


class PlotMenu(ModalScreen[None]):
    """Changes the settings of the plot behind it, at once."""

    AUTO_FOCUS = "*"
    BINDINGS = [Binding("escape,q,s", "dismiss", "Close", id="plot.close", tooltip="Close")]
    DEFAULT_CSS = """
    PlotMenu {
        align: center bottom; background: $background 0%;
        OptionList { width: 64; max-width: 100%; height: auto; border: round $primary; background: $surface; }
    }
    """

    def __init__(self, host: PlotKeys) -> None:
        super().__init__()
        self._host = host
        self._offered = [each for each in SETTINGS if host.check_action(each[0].partition("(")[0], ())]

    def _lines(self) -> list[str]:
        now, figure = self._host.settings, self._host.main_plot.figure or Figure((), version=None)
        return [fit(name, 20) + value_of(id, now, figure) for _, id, name, *_ in self._offered]

    def compose(self) -> ComposeResult:
        menu = Choices(*map(Option, self._lines()), markup=False)
        menu.border_title, menu.border_subtitle = "plot", "Enter change · Esc close"
        yield menu

    @on(OptionList.OptionSelected)
    async def _change(self, event: OptionList.OptionSelected) -> None:
        await self.app.run_action(self._offered[event.option_index][0], self._host)
        for index, line in enumerate(self._lines()):
            event.option_list.replace_option_prompt_at_index(index, line)


class PlotKeys(LabScreen):
    """A screen with a plot whose settings the keys change."""

    @property
    def settings(self) -> PlotSettings:
        """The settings as they are."""
        raise NotImplementedError

    @property
    def main_plot(self) -> LinePlot:
        """The plot whose settings these are."""
        raise NotImplementedError

    def change_plot(self, change: Callable[[PlotSettings], PlotSettings]) -> None:
        raise NotImplementedError

    def action_plot_menu(self) -> None:
        self.app.push_screen(PlotMenu(self))

    def action_axis(self) -> None:
        self.change_plot(PlotSettings.next_x)

    def action_log_y(self) -> None:
        figure = self.main_plot.figure
        if figure is not None:
            self.change_plot(lambda settings: settings.next_scale(figure.log_y, figure.auto_log_y))

    def action_bits(self) -> None:
        self.change_plot(PlotSettings.in_other_unit)

    def action_baselines(self) -> None:
        self.change_plot(lambda settings: replace(settings, baselines=not settings.baselines))

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
