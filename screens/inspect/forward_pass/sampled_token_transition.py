"""Transition of a sampled token: in the strip it stands in the colour of the prediction, which fades."""

import asyncio
import os
import time
from typing import cast

from textual.worker import Worker

from lab.views.blocks import LensPath
from screens.app_state import AppState
from screens.inspect.forward_pass.view_transition import FRAMES, LATE, seconds_of
from screens.inspect.inspect_part import InspectHost, InspectPart
from screens.inspect.selection import Selection
from screens.inspect.token_sampling import TokenSampling
from screens.inspect.widgets.prompt_bar import PromptBar


class SampledTokenTransition(InspectPart):
    """Fades the highlight of a token that has just been sampled; any key, or another selection, ends it at once."""

    def __init__(self, host: InspectHost, bar: PromptBar, sampling: TokenSampling) -> None:
        super().__init__(host)
        self._bar, self._sampling = bar, sampling
        self._fading: Worker[None] | None = None

    def path_came(self, selection: Selection, path: LensPath) -> None:
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
