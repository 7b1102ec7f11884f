"""Time travel: the selected place with the weights of any snapshot of the training."""

import asyncio
import time
from dataclasses import dataclass, replace

from textual.binding import Binding
from textual.worker import Worker

from lab.analysis.training_timeline import TimelineStop, ViewAtStep, describe_number, prediction_in_words, stop_index
from lab.views.blocks import LensPath, View
from screens.about_key import About, described
from screens.inspect.inspect_part import Actions, InspectHost, InspectPart, Loading, Starting
from screens.inspect.selection import Selection
from screens.inspect.widgets.time_slider import TimeSlider

SECONDS_A_STOP = 0.7
"""Time that each snapshot stays in view while playing: long enough to read one number."""

CHOOSE_A_NUMBER = "Tab, then Enter on a number shows its change here; Tab returns"


@dataclass
class Answers:
    """The answers that have come so far for one selection."""

    selection: Selection
    path: LensPath | None = None
    view: View | None = None

    def seen(self, step: int) -> ViewAtStep | None:
        """None until both have come. `step` is that of the weights where the engine does not tell it."""
        if self.path is None or self.view is None:
            return None
        return ViewAtStep(step if self.path.step is None else self.path.step, self.path, self.view)


class TimeTravel(InspectPart):
    """Opens and follows the slider; keeps the previous weights' answers, to tell what has changed."""

    BINDINGS = described(
        Binding(
            "t", "do('time')", "Time", id="inspect.time", tooltip="Over time: this view with the weights of any training step"
        ),
        About(synonyms="history snapshots checkpoints steps slider travel"),
    )

    def __init__(self, host: InspectHost, slider: TimeSlider) -> None:
        super().__init__(host)
        self._slider = slider
        slider.moved, slider.play_or_stop = self.move_to, self.play_or_stop
        slider.closed = lambda keep: self.close(keep=keep)
        self._came_from: str | None = None
        """The checkpoint that was in view when the slider was opened; None while it is closed."""
        self._now: Answers | None = None
        self._before: tuple[Selection, ViewAtStep] | None = None
        self._playing: Worker[None] | None = None

    @property
    def is_open(self) -> bool:
        return self._came_from is not None

    def actions(self) -> Actions:
        return (self.do_time,)

    def do_time(self) -> None:
        if self.is_open:
            self.close()
        else:
            self._host.start(self._open(self._host.selection.run), "stops")

    async def _open(self, run: str) -> None:
        stops = await self._listed(run)
        if stops and self._host.selection.run == run:
            self._show(stops)
            self._host.ask_again()  # a run that is training has newer weights on disk than those in view

    async def _listed(self, run: str) -> tuple[TimelineStop, ...]:
        """The run's snapshots; none where that fails, which is said."""
        from lab.core.errors import UserError

        try:
            return await asyncio.to_thread(_stops_of, run)
        except UserError as error:
            if self._host.selection.run == run:
                self._host.fail(str(error), False)
            return ()

    def _show(self, stops: tuple[TimelineStop, ...]) -> None:
        slider, model = self._slider, self._host.model
        slider.stops = stops
        slider.words = ("", "")
        self._came_from = self._host.selection.checkpoint
        step = None if isinstance(model, Starting | Loading) else model.facts.step
        slider.index = stop_index(list(stops), self._came_from, step)
        slider.add_class("-open")
        self._host.view.holds_cursor = True
        slider.focus()
        self._expect(slider.index)
        self._tell_change()

    def close(self, *, keep: bool = True) -> None:
        """Close the slider; without `keep`, with the weights that were in view when it was opened."""
        came_from, self._came_from = self._came_from, None
        if came_from is None:
            return
        self.stop_playing()
        if self._slider.has_focus:
            self._host.focus_steps()
        self._slider.remove_class("-open")
        self._host.view.holds_cursor = False
        self._host.session.expected_checkpoints = ()
        if not keep:
            self._host.selection = replace(self._host.selection, checkpoint=came_from)

    def move_to(self, index: int) -> None:
        """Stop playing, and show the stop of that index."""
        self.stop_playing()
        self._go(index)

    def _go(self, index: int) -> None:
        if 0 <= index < len(self._slider.stops):
            self._slider.index = index
            self._expect(index)
            self._host.selection = replace(self._host.selection, checkpoint=self._slider.stops[index].checkpoint)

    def _expect(self, index: int) -> None:
        """Prefetch the snapshots on both sides, the later one first."""
        stops = self._slider.stops
        sides = [stops[i].checkpoint for i in (index + 1, index - 1) if 0 <= i < len(stops)]
        self._host.session.expected_checkpoints = tuple(sides)

    def play_or_stop(self) -> None:
        if self._playing is not None and self._playing.is_running:
            self.stop_playing()
        else:
            self._playing = self._host.start(self._play(), "play")

    def stop_playing(self) -> None:
        if self._playing is not None:
            self._playing.cancel()
            self._playing = None
        self._slider.playing = False

    async def _play(self) -> None:
        slider = self._slider
        slider.playing = True
        if slider.index == len(slider.stops) - 1:
            self._go(0)
        while self.is_open and slider.index < len(slider.stops) - 1:
            await self._host.session.settle(time.monotonic(), lambda: SECONDS_A_STOP)
            if self.is_open:
                self._go(slider.index + 1)
        slider.playing = False

    def selection_changed(self, old: Selection, new: Selection) -> None:
        """Follow a checkpoint that was changed elsewhere."""
        if self.is_open:
            self._slider.index = stop_index(list(self._slider.stops), new.checkpoint, None)

    def take_path(self, selection: Selection, path: LensPath) -> None:
        is_in_view = self.is_open and selection.model == self._host.selection.model
        if is_in_view and path.step is not None and self._place(selection.checkpoint, path.step):
            self._host.start(self._list_again(selection.run, selection.checkpoint, path.step), "stops")
        self._answers(selection).path = path
        self._tell_change()

    def view_shown(self, selection: Selection, view: View) -> None:
        self._answers(selection).view = view
        self._tell_change()

    def _answers(self, selection: Selection) -> Answers:
        """The answers for this selection. When the weights change, the previous answers are kept."""
        now = self._now
        if now is None or now.selection != selection:
            new = Answers(selection)
            if now is not None and now.selection.model != selection.model:
                seen = now.seen(self._step_of(now.selection.checkpoint))
                self._before = None if seen is None else (now.selection, seen)
            elif now is not None and now.selection.path_key == selection.path_key:
                new.path = now.path
            self._now = now = new
        return now

    async def _list_again(self, run: str, checkpoint: str, step: int) -> None:
        """List the snapshots that are there now, and those of the weights in view at their own step."""
        stops = await self._listed(run)
        if stops and self.is_open and self._host.selection.model == (run, checkpoint):
            self._slider.stops = stops
            self._place(checkpoint, step)

    def _place(self, checkpoint: str, step: int) -> bool:
        """Mark the stop of the weights in view. True if the stop of that name had another step, and got this one: the trainer
        has replaced the file since the stops were listed.

        Where no stop has the name, as the best weights before the first evaluation, it is the nearest one.
        """
        stops = self._slider.stops
        at = self._slider.index = stop_index(list(stops), checkpoint, step)
        if checkpoint not in (stops[at].checkpoint, *stops[at].names) or stops[at].step == step:
            return False
        self._slider.stops = (*stops[:at], replace(stops[at], step=step), *stops[at + 1 :])
        return True

    def _step_of(self, checkpoint: str) -> int:
        stops = list(self._slider.stops)
        return stops[stop_index(stops, checkpoint, None)].step if stops else 0

    def _tell_change(self) -> None:
        if not self.is_open or self._now is None:
            return
        now = self._now.seen(self._step_of(self._now.selection.checkpoint))
        if now is None:
            return
        before = None
        if self._before is not None and replace(self._before[0], checkpoint="") == replace(self._now.selection, checkpoint=""):
            before = self._before[1]
        view = self._host.view
        spot = view.laid.spot(view.cursor) if view.cursor is not None else None
        number = describe_number(spot.ref, now, before) if spot is not None else CHOOSE_A_NUMBER
        self._slider.words = (prediction_in_words(now, before), number)


def _stops_of(run: str) -> tuple[TimelineStop, ...]:
    """The run's snapshots. Raises: UserError where it has none."""
    from lab.analysis.training_timeline import stops
    from lab.runs.find_runs import open_run

    return tuple(stops(open_run(run)))
