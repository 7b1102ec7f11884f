"""The part of Inspect that looks at the same place with the weights of any moment of training."""

import asyncio
import time
from dataclasses import dataclass, replace

from textual import on, work
from textual.binding import Binding
from textual.message import Message
from textual.reactive import var
from textual.worker import Worker

from lab.reports.training_timeline import Seen, TimelineStop, index_of, number_in_words, prediction_in_words
from lab.views.blocks import LensPath, ModelFacts, View
from screens.base_screen import LabScreen
from screens.blocks.block_view import BlockView
from screens.inspect.engine_session import Microscope
from screens.inspect.forward_pass_list import WayList
from screens.inspect.selection import Selection
from screens.inspect.time_slider import TimeSlider

SECONDS_A_STOP = 0.7
"""How long a snapshot stays in view while the training is played: long enough to read one number."""

SECONDS_BETWEEN_ASKING = 0.01


@dataclass
class Shown:
    """What has come so far for one aim."""

    aim: Selection
    way: LensPath | None = None
    view: View | None = None

    def seen(self, step: int) -> Seen | None:
        return None if self.way is None or self.view is None else Seen(step, self.way, self.view)


class TimeScreen(LabScreen):
    """Opens the slider and follows it; remembers what was shown with the weights before, to tell what has changed."""

    BINDINGS = [
        Binding("t", "time", "Time", id="inspect.time", tooltip="Look at this place with the weights of any moment of training"),
    ]

    aim: var[Selection | None] = var(None)
    microscope: Microscope
    _facts: ModelFacts | None

    @dataclass
    class StopsRead(Message):
        """Which snapshots the run has."""

        run: str
        stops: tuple[TimelineStop, ...]

    def __init__(self) -> None:
        super().__init__()
        self._came_from: str | None = None
        """The checkpoint that was in view when the slider was opened; None while it is closed."""
        self._shown: Shown | None = None
        self._before: tuple[Selection, Seen] | None = None
        self._playing: Worker[None] | None = None

    @property
    def in_time(self) -> bool:
        """Whether the slider is open."""
        return self._came_from is not None

    def action_time(self) -> None:
        if self.in_time:
            self.leave_time()
        elif self.aim is not None:
            self._read_stops(self.aim.run)

    @work(thread=True, exclusive=True, group="stops")
    def _read_stops(self, run: str) -> None:
        from lab.core.errors import UserError
        from lab.reports.training_timeline import stops
        from lab.runs.run_store import open_run

        try:
            self.post_message(self.StopsRead(run, tuple(stops(open_run(run)))))
        except UserError as error:
            self.app.call_from_thread(self.trouble, str(error), False)

    @on(StopsRead)
    def _open_slider(self, message: StopsRead) -> None:
        if self.aim is None or self.aim.run != message.run:
            return
        slider = self.query_one(TimeSlider)
        slider.stops = message.stops
        slider.words = ("", "")
        self._came_from = self.aim.checkpoint
        slider.index = index_of(list(message.stops), self.aim.checkpoint, self._facts.step if self._facts else None)
        slider.add_class("-open")
        self.query_one(BlockView).holds_cursor = True
        slider.focus()
        self._expect(slider.index)
        self._tell_change()

    def leave_time(self, *, keep: bool = True) -> None:
        """Close the slider; without `keep`, with the weights that were in view when it was opened."""
        came_from, self._came_from = self._came_from, None
        if came_from is None:
            return
        self._stop_playing()
        slider = self.query_one(TimeSlider)
        if slider.has_focus:
            self.query_one(WayList).focus()
        slider.remove_class("-open")
        self.query_one(BlockView).holds_cursor = False
        self.microscope.expected = ()
        if not keep and self.aim is not None:
            self.aim = replace(self.aim, checkpoint=came_from)

    @on(TimeSlider.Closed)
    def _slider_closed(self, message: TimeSlider.Closed) -> None:
        self.leave_time(keep=message.keep)

    @on(TimeSlider.Moved)
    def _slider_moved(self, message: TimeSlider.Moved) -> None:
        self._stop_playing()
        self._go(message.index)

    def _go(self, index: int) -> None:
        slider = self.query_one(TimeSlider)
        if self.aim is None or not 0 <= index < len(slider.stops):
            return
        slider.index = index
        self._expect(index)
        self.aim = replace(self.aim, checkpoint=slider.stops[index].checkpoint)

    def _expect(self, index: int) -> None:
        """The snapshots on both sides are worked out ahead, the later one first."""
        slider = self.query_one(TimeSlider)
        sides = [slider.stops[i].checkpoint for i in (index + 1, index - 1) if 0 <= i < len(slider.stops)]
        self.microscope.expected = tuple(sides)

    @on(TimeSlider.Played)
    def _play_or_stop(self) -> None:
        if self._playing is not None and self._playing.is_running:
            self._stop_playing()
        else:
            self._playing = self._play()

    def _stop_playing(self) -> None:
        if self._playing is not None:
            self._playing.cancel()
            self._playing = None
        self.query_one(TimeSlider).playing = False

    @work(exclusive=True, group="play")
    async def _play(self) -> None:
        slider = self.query_one(TimeSlider)
        slider.playing = True
        if slider.index == len(slider.stops) - 1:
            self._go(0)
        while self.in_time and slider.index < len(slider.stops) - 1:
            began = time.monotonic()
            while not self.microscope.is_idle or time.monotonic() < began + SECONDS_A_STOP:
                await asyncio.sleep(SECONDS_BETWEEN_ASKING)
            if self.in_time:
                self._go(slider.index + 1)
        slider.playing = False

    def time_aimed(self) -> None:
        """To be called when the aim has changed: the slider follows a checkpoint that was changed elsewhere."""
        if not self.in_time or self.aim is None:
            return
        slider = self.query_one(TimeSlider)
        slider.index = index_of(list(slider.stops), self.aim.checkpoint, None)

    def time_way(self, aim: Selection, way: LensPath) -> None:
        """To be called when a way has come."""
        self._showing(aim).way = way
        self._tell_change()

    def time_view(self, aim: Selection, view: View) -> None:
        """To be called when a view is shown."""
        self._showing(aim).view = view
        self._tell_change()

    def _showing(self, aim: Selection) -> Shown:
        """What has come for this aim. Where it is one with other weights, what was shown with the weights before is kept."""
        shown = self._shown
        if shown is None or shown.aim != aim:
            new = Shown(aim)
            if shown is not None and shown.aim.model != aim.model:
                seen = shown.seen(self._step_of(shown.aim.checkpoint))
                self._before = None if seen is None else (shown.aim, seen)
            elif shown is not None and shown.aim.way == aim.way:
                new.way = shown.way
            self._shown = shown = new
        return shown

    def _step_of(self, checkpoint: str) -> int:
        stops = self.query_one(TimeSlider).stops
        return stops[index_of(list(stops), checkpoint, None)].step if stops else 0

    def _tell_change(self) -> None:
        if not self.in_time or self._shown is None:
            return
        now = self._shown.seen(self._step_of(self._shown.aim.checkpoint))
        if now is None:
            return
        before = None
        if self._before is not None and replace(self._before[0], checkpoint="") == replace(self._shown.aim, checkpoint=""):
            before = self._before[1]
        view = self.query_one(BlockView)
        spot = view.laid.spot(view.cursor) if view.cursor is not None else None
        number = number_in_words(spot.ref, now, before) if spot is not None else NO_NUMBER
        self.query_one(TimeSlider).words = (prediction_in_words(now, before), number)

    def trouble(self, sentence: str, died: bool) -> None:
        """Say what went wrong."""
        raise NotImplementedError


NO_NUMBER = "tab, then enter puts a cursor on a number, tab leads back here: its change is told here then"
