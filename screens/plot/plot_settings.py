"""Settings of a line plot, the keys that change them, and the menu of those without a key."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np
from textual import on
from textual.binding import Binding, BindingType
from textual.widgets import OptionList

from lab.core.number_format import probability
from lab.runs.run_history import Floats
from screens.about_key import About, described, keyless
from screens.base_screen import LabScreen
from screens.dialogs.ask import ListDialog
from screens.plot.figure import Figure
from screens.plot.plot_widget import LinePlot
from screens.widgets.text_fitting import fit

XAxis = Literal["steps", "tokens", "epochs", "time"]
X_AXES: tuple[XAxis, ...] = get_args(XAxis)

SMOOTHINGS: tuple[tuple[str, float, int], ...] = (
    ("medium", 1 / 20, 100),
    ("strong", 1 / 5, 1000),
    ("light", 1 / 100, 20),
)
"""Name, fraction of the steps in the running mean, and its most steps. All sentences use the first."""

FEWEST_STEPS = 10.0
"""The closest zoom."""


@dataclass(frozen=True)
class PlotSettings:
    """`pinned` is a fixed window of steps; without it the window is the last `share` of the steps so far."""

    x: XAxis = "steps"
    log_y: bool | None = None
    """None: the scale that shows more."""
    bits: bool = False
    """Bits per byte instead of nats per token."""
    smoothing: int = 0
    """Index in `SMOOTHINGS`."""
    baselines: bool = True
    share: float = 1.0
    pinned: tuple[float, float] | None = None
    y_window: tuple[float, float] | None = None
    """Range of y, in the unit shown; None shows all of the curves in view."""
    y_close: bool = False
    """Without `y_window`: only the range of the lines after their steep part."""

    def window(self, latest: float) -> tuple[float, float]:
        """First and last step in view, when `latest` is the run's last step."""
        return self.pinned if self.pinned is not None else (latest * (1 - self.share), latest)

    @property
    def follows(self) -> bool:
        return self.pinned is None

    @property
    def y_zoomed(self) -> bool:
        return self.y_window is not None or self.y_close

    def next_scale(self, shown: bool, auto: bool) -> PlotSettings:
        """The other scale of y than the one `shown`; without a fixed one where that is the automatic choice."""
        return replace(self, log_y=None if auto is not shown else not shown)

    def next_y(self) -> PlotSettings:
        """A close-up of the lines, or all of the curves again."""
        return replace(self, y_window=None, y_close=not self.y_zoomed)

    def zoomed_y(self, by: float, shown: tuple[float, float], about: float, *, log_y: bool) -> PlotSettings:
        """Zoom in on y (`by` below 1) or out; the value `about` keeps its place in the range `shown`."""
        # What is shown may be more than was asked for, as ticks are round.
        low, high, centre = (math.log(max(y, 1e-12)) if log_y else y for y in (*(self.y_window or shown), about))
        low, high = centre - by * (centre - low), centre + by * (high - centre)
        if log_y:
            low, high = math.exp(low), math.exp(high)
        return replace(self, y_window=(low, high), y_close=False)

    def zoomed(self, by: float, latest: float, about: float | None = None) -> PlotSettings:
        """Zoom in (`by` below 1) or out. The step `about` keeps its place; by default the end of the run, or the middle of a
        pinned window."""
        first, last = self.window(latest)
        width = max((last - first) * by, min(FEWEST_STEPS, latest))
        if width >= latest:
            return self.following(1.0)
        if about is None and self.follows:
            return self.following(width / latest)
        centre = (first + last) / 2 if about is None else about
        place = (centre - first) / (last - first) if last > first else 0.5
        start = min(max(0.0, centre - place * width), latest - width)
        return replace(self, pinned=(start, start + width))

    def panned(self, by: float, latest: float) -> PlotSettings:
        """Pan by this fraction of the window; at the end it follows the run again."""
        first, last = self.window(latest)
        width = last - first
        start = max(0.0, first + by * width)
        if start + width >= latest:
            return self.following(width / latest if latest else 1.0)
        return replace(self, pinned=(start, start + width))

    def following(self, share: float) -> PlotSettings:
        """Follow the last `share` of the run."""
        return replace(self, pinned=None, share=share)

    def whole(self) -> PlotSettings:
        """All of both axes."""
        return replace(self, pinned=None, share=1.0, y_window=None, y_close=False)


STEEP_PART = 1 / 4
"""First part of a curve, in which a loss falls steeply; the rest is what one looks at."""
MUCH_MORE = 1.5
"""A logarithmic axis is harder to read: it has to give the rest so many times the height."""


Curve = tuple[Sequence[float] | Floats, Sequence[float] | Floats]
"""Its xs, which do not fall, and its ys."""


def shows_more_on_log(curves: Sequence[Curve]) -> bool:
    """Check that a logarithmic axis would give the curves after their steep part much more of the height than a linear one."""
    whole, rest = _whole_and_rest(curves)
    if not len(rest) or whole.min() <= 0 or rest.max() <= rest.min():
        return False
    linear = (rest.max() - rest.min()) / (whole.max() - whole.min())
    logarithmic = np.log(rest.max() / rest.min()) / np.log(whole.max() / whole.min())
    return bool(logarithmic >= MUCH_MORE * linear)


def range_after_steep_part(curves: Sequence[Curve]) -> tuple[float, float] | None:
    """Lowest and highest y of the curves after their steep part."""
    _, rest = _whole_and_rest(curves)
    return (float(rest.min()), float(rest.max())) if len(rest) else None


def _whole_and_rest(curves: Sequence[Curve]) -> tuple[Floats, Floats]:
    """All ys of the curves, and those after the steep part."""
    found = [(np.asarray(xs, np.float64), np.asarray(ys, np.float64)) for xs, ys in curves if len(xs)]
    if not found:
        return np.empty(0), np.empty(0)
    first, last = min(xs[0] for xs, _ in found), max(xs[-1] for xs, _ in found)
    begins = first + STEEP_PART * (last - first)
    return np.concatenate([ys for _, ys in found]), np.concatenate([ys[xs >= begins] for xs, ys in found])


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


def plot_bindings(screen: str, *left_out: str) -> list[BindingType]:
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


class PlotMenu(ListDialog[None]):
    """Changes the settings of the plot behind it, at once."""

    BINDINGS = [Binding("escape,q,s", "dismiss", "Close", id="plot.close", tooltip="Close")]
    DEFAULT_CSS = "PlotMenu { align: center bottom; background: $background 0%; }"

    def __init__(self, host: PlotKeys) -> None:
        self._host = host
        self._offered = [each for each in SETTINGS if host.check_action(each[0].partition("(")[0], ())]
        super().__init__(self._settings(), "plot", "Enter change · Esc close")

    def _settings(self) -> list[str]:
        now, figure = self._host.settings, self._host.main_plot.figure or Figure((), version=None)
        return [fit(name, 20) + value_of(id, now, figure) for _, id, name, *_ in self._offered]

    @on(OptionList.OptionSelected)
    async def _change(self, event: OptionList.OptionSelected) -> None:
        await self.app.run_action(self._offered[event.option_index][0], self._host)
        for index, line in enumerate(self._settings()):
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
        self.change_plot(lambda now: replace(now, x=X_AXES[(X_AXES.index(now.x) + 1) % len(X_AXES)]))

    def action_log_y(self) -> None:
        figure = self.main_plot.figure
        if figure is not None:
            self.change_plot(lambda settings: settings.next_scale(figure.log_y, figure.auto_log_y))

    def action_bits(self) -> None:
        self.change_plot(lambda now: replace(now, bits=not now.bits, y_window=None))  # a range of y is one of the other unit

    def action_baselines(self) -> None:
        self.change_plot(lambda settings: replace(settings, baselines=not settings.baselines))

    def action_close_up(self) -> None:
        self.change_plot(PlotSettings.next_y)

    def action_smoothing(self) -> None:
        self.change_plot(lambda now: replace(now, smoothing=(now.smoothing + 1) % len(SMOOTHINGS)))

    def action_recent(self) -> None:
        self.change_plot(lambda settings: settings.following(0.5 if settings == settings.following(1.0) else 1.0))

    def action_follow(self) -> None:
        self.change_plot(PlotSettings.whole)

    def shares_x(self, plot: LinePlot) -> bool:
        """Check that a plot has the x axis of the main one."""
        return plot is self.main_plot

    def zoom_x(self, by: float, x: float | None = None) -> None:
        """Zoom on the x axis (`by` below 1: in) about this position on it."""
        raise NotImplementedError

    def action_zoom(self, by: float) -> None:
        self.zoom_x(by)

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
