"""Time slider over a run's training: a stop for each snapshot, the one in view marked, and the change since the last."""

from collections.abc import Callable, Sequence

from rich.cells import cell_len
from rich.segment import Segment
from textual import events
from textual.binding import Binding
from textual.reactive import reactive
from textual.strip import Strip
from textual.widget import Widget

from lab.analysis.training_timeline import TimelineStop
from lab.core.number_format import whole
from screens.about_key import About, described
from screens.widgets.text_fitting import fit

HERE, STOP, RAIL = "●", "┼", "─"
BEST = STOP + "best"
"""Label of the best weights' stop; of the last stop on its other side. The mark of the chosen stop stands beside the word."""
LABEL_GAP = 10
"""Columns from the end of a step's label to the next."""


def columns_of(count: int, width: int) -> list[int]:
    """Column of each stop on a rail of `width` characters, the first and the last at its ends."""
    if count < 2:
        return [0] * count
    return [round(index * (width - 1) / (count - 1)) for index in range(count)]


def rail_of(stops: Sequence[TimelineStop], width: int) -> str:
    """The rail with its stops, `best` where there is room for the word, and the steps of others, evenly over the rail."""
    glyphs = [RAIL] * width
    places = columns_of(len(stops), width)
    for stop, place in zip(stops, places, strict=True):
        glyphs[place] = "b" if "best" in stop.names else STOP
    ends_best = bool(stops) and "best" in stops[-1].names and len(places) > 1 and places[-1] - places[-2] > len(BEST)
    room = width - len(BEST) - 1 if ends_best else width
    end = 0
    for stop, place, after in zip(stops, places, [*places[1:], width], strict=True):
        word = BEST if "best" in stop.names else STOP + whole(stop.step)
        is_end = place in (0, places[-1]) and word != BEST
        if not is_end and place >= end and place + len(word) < min(after, room):
            glyphs[place : place + len(word)] = word
            end = place + len(word) + LABEL_GAP * (word != BEST)
    if ends_best:
        glyphs[-len(BEST) :] = BEST[1:] + STOP
    return "".join(glyphs)


def title_of(stop: TimelineStop) -> str:
    names = f" ({', '.join(stop.names)})" if stop.names else ""
    return f"step {whole(stop.step)}{names}"


class TimeSlider(Widget, can_focus=True):
    """Four lines: the step, the rail, and two changes. Stops are evenly spaced, although they are not in steps."""

    COMPONENT_CLASSES = {"time--rail", "time--here", "time--words", "time--dim"}
    DEFAULT_CSS = """
    TimeSlider {
        height: 4; padding: 0 1; background: $panel; display: none;
        &.-open { display: block; }
        & > .time--rail { color: $foreground 50%; }
        & > .time--here { color: $foreground; text-style: bold; }
        & > .time--words { color: $foreground; }
        & > .time--dim { color: $foreground 65%; }
        &:focus > .time--here { color: $accent; text-style: bold reverse; }
    }
    """
    HELP = (
        "**Time travel.** Each mark is a snapshot of the weights, from step 0, before any training; `b` is the best. Marks are "
        "evenly spaced, steps are not: there are more at the beginning, where most happens. "
        "`←` and `→` show the same prompt, step, head and number with other weights, `space` "
        "plays to the end. `enter` keeps the weights in view, `escape` restores the previous ones. A cursor on a number "
        "stays there and its change is shown. All other keys of Inspect still work. Snapshots after step 0 are stored in bf16."
    )
    BINDINGS = described(
        Binding("right", "move(1)", "Move", id="time.later", key_display="←/→", tooltip="The next snapshot"),
        About(
            "Move",
            words="snapshot of the weights; play; keep these; restore the previous",
            also=("time.earlier", "time.play", "time.keep", "time.back"),
            place=-1,
        ),
        Binding("left", "move(-1)", "Earlier", id="time.earlier", show=False, tooltip="The snapshot before"),
        Binding("space", "play", "Play", id="time.play", tooltip="Play the training from here to its end; again to stop"),
        Binding("home", "end(0)", "Untrained", id="time.first", show=False, tooltip="Before any training"),
        Binding("end", "end(-1)", "Trained", id="time.last", show=False, tooltip="The last weights"),
        Binding("enter", "close(True)", "Keep", id="time.keep", tooltip="Close the slider and keep these weights"),
        Binding("escape", "close(False)", "Back", id="time.back", tooltip="Close the slider and restore the previous weights"),
    )

    stops: reactive[tuple[TimelineStop, ...]] = reactive(())
    index: reactive[int] = reactive(0)
    words: reactive[tuple[str, str]] = reactive(("", ""))
    """The changes of the prediction, and of the number under the cursor."""
    playing: reactive[bool] = reactive(False)

    moved: Callable[[int], None]
    """Takes the index of another stop that is chosen. `TimeTravel` sets these three."""
    play_or_stop: Callable[[], None]
    closed: Callable[[bool], None]
    """Takes whether the weights in view are kept."""

    def action_move(self, by: int) -> None:
        self._go(self.index + by)

    def action_end(self, index: int) -> None:
        self._go(index % max(1, len(self.stops)))

    def _go(self, index: int) -> None:
        if 0 <= index < len(self.stops) and index != self.index:
            self.moved(index)

    def action_play(self) -> None:
        self.play_or_stop()

    def action_close(self, keep: bool) -> None:
        self.closed(keep)

    def render_line(self, y: int) -> Strip:
        width = self.content_size.width
        if not self.stops or width < 1:
            return Strip.blank(width, self.rich_style)
        segments = (self._title(width), self._rail(width), self._words(0, width), self._words(1, width))[y]
        return Strip(segments).adjust_cell_length(width, self.rich_style)

    def _title(self, width: int) -> list[Segment]:
        here = f" {title_of(self.stops[self.index])} "
        of = f"  snapshot {self.index + 1}/{len(self.stops)}{'  ▶ playing' if self.playing else ''}"
        keys = "←/→ move · Space play · Enter keep · Esc back"
        room = width - cell_len(here) - cell_len(of)
        tail = fit(keys, room, "right") if room > cell_len(keys) + 2 else " " * max(0, room)
        dim = self.get_component_rich_style("time--dim")
        return [Segment(here, self.get_component_rich_style("time--here")), Segment(of + tail, dim)]

    def _ends(self) -> tuple[str, str]:
        return f"{whole(self.stops[0].step)} ", f" {whole(self.stops[-1].step)}"

    def _rail(self, width: int) -> list[Segment]:
        left, right = self._ends()
        room = max(2, width - cell_len(left) - cell_len(right))
        glyphs, at = rail_of(self.stops, room), columns_of(len(self.stops), room)[self.index]
        rail, dim = self.get_component_rich_style("time--rail"), self.get_component_rich_style("time--dim")
        return [
            Segment(left, dim),
            Segment(glyphs[:at], rail),
            Segment(HERE, self.get_component_rich_style("time--here")),
            Segment(glyphs[at + 1 :], rail),
            Segment(right, dim),
        ]

    def _words(self, which: int, width: int) -> list[Segment]:
        return [Segment(fit(self.words[which], width), self.get_component_rich_style("time--words"))]

    def on_click(self, event: events.Click) -> None:
        offset = event.get_content_offset(self)
        if offset is None or not self.stops:
            return
        left, right = self._ends()
        room = max(2, self.content_size.width - cell_len(left) - cell_len(right))
        places = columns_of(len(self.stops), room)
        self._go(min(range(len(places)), key=lambda index: abs(places[index] + cell_len(left) - offset.x)))
