"""Transitions between views: to a softmax, whose columns fill from scores to probabilities, and to a sampled token."""

import asyncio
import os
import time
from collections.abc import Mapping
from typing import cast

from textual.worker import Worker

from lab.core.preferences import AnimationSpeed
from lab.core.terminal import is_remote
from lab.views.blocks import LensPath, View
from screens.app_state import AppState
from screens.inspect.inspect_part import InspectHost, InspectPart
from screens.inspect.selection import Selection
from screens.inspect.token_sampling import TokenSampling
from screens.inspect.widgets.prompt_bar import PromptBar

FILLING = ("matrix", "scores", "logits")
"""Stages whose matrices or table lead from scores to probabilities, from left to right."""
SECONDS: Mapping[AnimationSpeed, float] = {"fast": 0.12, "normal": 0.22, "slow": 0.28}
"""How long a table fills, by the user's speed of animation; none takes as long as 0.3 s."""
FRAMES = 6
LATE = 2.0
"""A frame that comes so many times later than planned ends the transition: the screen or the link is slow."""


def seconds_of(speed: AnimationSpeed, *, headless: bool, environment: Mapping[str, str]) -> float:
    """Length of a transition; 0 where the user wants none, over SSH, where each frame is sent, and without a terminal."""
    return 0.0 if headless or is_remote(environment) else SECONDS.get(speed, 0.0)


class ViewTransition(InspectPart):
    """Shows the columns of a table one after the other; any key, or another selection, shows all at once."""

    def __init__(self, host: InspectHost) -> None:
        super().__init__(host)
        self._stage = ""
        self._filling: Worker[None] | None = None

    def view_shown(self, selection: Selection, view: View) -> None:
        came_from, self._stage = self._stage, view.stage
        app = cast(AppState, self._host.app)
        if view.stage in FILLING and came_from not in ("", view.stage):
            seconds = seconds_of(app.preferences.animation, headless=app.is_headless, environment=os.environ)
            if seconds:
                self._host.view.columns_drawn = self._host.view.room // FRAMES
                self._filling = self._host.start(self.fill(seconds), "transition")

    async def fill(self, seconds: float) -> None:
        """Draw more and more columns for so many seconds."""
        view, pause = self._host.view, seconds / FRAMES
        for frame in range(2, FRAMES + 1):
            began = time.monotonic()
            await asyncio.sleep(pause)
            if time.monotonic() - began > LATE * pause:
                break
            view.columns_drawn = view.room * frame // FRAMES
        view.columns_drawn = None

    def stop(self) -> None:
        """Show the whole view at once."""
        if self._filling is not None:
            self._filling.cancel()
            self._filling = None
            self._host.view.columns_drawn = None

    def key_pressed(self, key: str) -> bool:
        self.stop()
        return False

    def selection_changed(self, old: Selection, new: Selection) -> None:
        self.stop()


class SampledTokenTransition(InspectPart):
    """Fades the highlight of a token that has just been sampled; any key, or another selection, ends it at once."""

    def __init__(self, host: InspectHost, bar: PromptBar, sampling: TokenSampling) -> None:
        super().__init__(host)
        self._bar, self._sampling = bar, sampling
        self._fading: Worker[None] | None = None

    def take_path(self, selection: Selection, path: LensPath) -> None:
        if selection.prompt != self._sampling.drawn:
            return
        self._sampling.drawn = None
        app = cast(AppState, self._host.app)
        seconds = seconds_of(app.preferences.animation, headless=app.is_headless, environment=os.environ)
        if seconds:
            self._bar.highlight_last(1.0)
            self._fading = self._host.start(self.fade(seconds), "sampled-token")

    async def fade(self, seconds: float) -> None:
        """Weaken the highlight for so many seconds."""
        pause = seconds / FRAMES
        for frame in range(1, FRAMES):
            began = time.monotonic()
            await asyncio.sleep(pause)
            if time.monotonic() - began > LATE * pause:
                break
            self._bar.highlight_last(1 - frame / FRAMES)
        self._bar.highlight_last(0.0)

    def stop(self) -> None:
        """Draw the token like any other at once."""
        if self._fading is not None:
            self._fading.cancel()
            self._fading = None
            self._bar.highlight_last(0.0)

    def key_pressed(self, key: str) -> bool:
        self.stop()
        return False

    def selection_changed(self, old: Selection, new: Selection) -> None:
        self.stop()
