"""Shading of the prompt's tokens by the attention of the chosen head; transitions to a softmax and to a sampled token.

Towards a softmax the columns fill from scores to probabilities.
"""

import asyncio
import os
import time
from collections.abc import Mapping
from typing import Literal

from textual.worker import Worker

from lab.core.preferences import AnimationSpeed
from lab.core.terminal import is_remote
from lab.views.blocks import HeadAttention, LensPath, View
from screens.about_key import About, described, keyless
from screens.inspect.inspect_part import Actions, InspectHost, InspectPart, Ready
from screens.inspect.selection import Selection
from screens.inspect.token_sampling import TokenSampling
from screens.inspect.widgets.prompt_bar import PromptBar
from screens.widgets.token_shading import Shading

Direction = Literal["from", "to", "off"]
NEXT: dict[Direction, Direction] = {"from": "to", "to": "off", "off": "from"}


def shading_of(attention: HeadAttention, label: str, direction: Direction) -> Shading | None:
    """The shading for a head's attention at the token called `label`: what it pays, what it receives, or none."""
    if direction == "off":
        return None
    name = f"head {attention.layer + 1}.{attention.head + 1}"
    numbers = attention.paid if direction == "from" else attention.received
    place = f"{direction} “{label}”"
    words = f"{name}'s attention {place}", f"shaded: {name} {place}", name
    return Shading(tuple(numbers.numpy().tolist()), attention.position, *words, inward=direction == "to")


class AttentionShading(InspectPart):
    """Shades the tokens with the attention that comes with each view; a view without it keeps the shading of the same place."""

    BINDINGS = described(
        keyless("do('shading')", "inspect.shading", "Shade tokens by attention from the chosen one, to it, or not", "Shading"),
        About(synonyms="attention strip colour"),
    )

    def __init__(self, host: InspectHost, bar: PromptBar) -> None:
        super().__init__(host)
        self._bar = bar
        self._direction: Direction = "from"
        self._attention: HeadAttention | None = None
        self._of: Selection | None = None
        """The selection that `_attention` belongs to."""

    def actions(self) -> Actions:
        return (self.do_shading,)

    def do_shading(self) -> None:
        self._direction = NEXT[self._direction]
        self._shade()

    def take_path(self, selection: Selection, path: LensPath) -> None:
        of = self._of
        if of is not None and (of.model, of.prompt) != (selection.model, selection.prompt):
            self._attention = self._of = None
        self._shade()

    def view_shown(self, selection: Selection, view: View) -> None:
        if view.attention is not None:
            self._attention, self._of = view.attention, selection
        elif self._of is not None and _place(self._of) != _place(selection):
            self._attention = self._of = None
        self._shade()

    def _shade(self) -> None:
        model, found = self._host.model, self._attention
        if not isinstance(model, Ready) or found is None or found.position >= len(model.path.tokens):
            self._bar.shade(None)
        else:
            self._bar.shade(shading_of(found, model.path.tokens[found.position].label, self._direction))


def _place(selection: Selection) -> tuple[object, ...]:
    return selection.path_key, selection.layer, selection.head


FILLING = ("matrix", "scores", "logits")
"""Stages whose matrices or table lead from scores to probabilities, from left to right."""
SECONDS: Mapping[AnimationSpeed, float] = {"fast": 0.12, "normal": 0.22, "slow": 0.28}
"""Length of a transition by the user's speed of animation; all are under 0.3 s."""
FRAMES = 6
LATE = 2.0
"""A frame that comes so many times later than planned ends the transition: the screen or the link is slow."""


def seconds_of(speed: AnimationSpeed, *, headless: bool, environment: Mapping[str, str]) -> float:
    """Length of a transition; 0 where the user wants none, over SSH, where each frame is sent, and without a terminal."""
    return 0.0 if headless or is_remote(environment) else SECONDS.get(speed, 0.0)


class Transition(InspectPart):
    """A few frames drawn one after the other; any key, or another selection, ends them at once."""

    def __init__(self, host: InspectHost) -> None:
        super().__init__(host)
        self._playing: Worker[None] | None = None

    def draw(self, frame: int | None) -> None:
        """Draw one of the `FRAMES`, counted from 0; None: the state after the last."""
        raise NotImplementedError

    def begin(self, group: str) -> None:
        app = self._host.lab
        seconds = seconds_of(app.preferences.animation, headless=app.is_headless, environment=os.environ)
        if seconds:
            self.draw(0)
            self._playing = self._host.start(self._play(seconds / FRAMES), group)

    async def _play(self, pause: float) -> None:
        for frame in range(1, FRAMES):
            began = time.monotonic()
            await asyncio.sleep(pause)
            if time.monotonic() - began > LATE * pause:
                break
            self.draw(frame)
        self.draw(None)

    def _stop(self) -> None:
        if self._playing is not None:
            self._playing.cancel()
            self._playing = None
            self.draw(None)

    def key_pressed(self, key: str) -> bool:
        self._stop()
        return False

    def selection_changed(self, old: Selection, new: Selection) -> None:
        self._stop()


class ViewTransition(Transition):
    """Shows the columns of a table one after the other."""

    def __init__(self, host: InspectHost) -> None:
        super().__init__(host)
        self._stage = ""

    def view_shown(self, selection: Selection, view: View) -> None:
        came_from, self._stage = self._stage, view.stage
        if view.stage in FILLING and came_from not in ("", view.stage):
            self.begin("transition")

    def draw(self, frame: int | None) -> None:
        view = self._host.view
        view.columns_drawn = None if frame is None else view.room * (frame + 1) // FRAMES


class SampledTokenTransition(Transition):
    """Fades the highlight of a token that has just been sampled."""

    def __init__(self, host: InspectHost, bar: PromptBar, sampling: TokenSampling) -> None:
        super().__init__(host)
        self._bar, self._sampling = bar, sampling

    def take_path(self, selection: Selection, path: LensPath) -> None:
        if selection.prompt == self._sampling.drawn:
            self._sampling.drawn = None
            self.begin("sampled-token")

    def draw(self, frame: int | None) -> None:
        self._bar.highlight_last(0.0 if frame is None else 1 - frame / FRAMES)
