"""Tour of the forward pass: one stage after the other, with a sentence on each, until any key."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import replace

from textual.binding import Binding
from textual.worker import Worker

from lab.core.number_format import counted, probability, significant, whole
from lab.inspect.interventions import describe_interventions
from lab.inspect.stages.stage_registry import STAGES
from lab.views.blocks import LensPath, ModelFacts, StageEntry
from screens.about_key import About, described
from screens.inspect.inspect_part import Actions, InspectHost, InspectPart, Ready
from screens.inspect.intervention_keys import changed_groups
from screens.inspect.selection import Selection, at_step, index_of
from screens.inspect.token_sampling import PACE_KEYS
from screens.widgets.forward_pass_list import ForwardPassList

SECONDS_A_STAGE = (1.5, 3.0, 5.0, 8.0)
"""Paces, the fastest first; at the slowest two sentences can be read twice."""
HINT = "New here? p plays the tour of the model, layer by layer"
PACE_OF = {"fast": 0, "normal": 1, "slow": 2, "off": 1}
"""The pace to begin with, by the speed of animation in the user's preferences."""


class Tour(InspectPart):
    """Moves the selection; whatever else moves it, and any key, ends the tour."""

    BINDINGS = described(
        Binding(
            "p", "do('tour')", "Tour", id="inspect.tour", tooltip="Play the forward pass, a sentence on each stage; any key stops"
        ),
        About("Move", place=2, synonyms="play animation walk through demo forward pass"),
    )

    def __init__(self, host: InspectHost, steps: ForwardPassList) -> None:
        super().__init__(host)
        self._list = steps
        self._pace: int | None = None
        """None until the first tour."""
        self._playing: Worker[None] | None = None
        self._shown: Selection | None = None
        """What the tour has selected last."""
        self._place = ""
        self._has_moved = False

    @property
    def hint(self) -> str:
        """The tour's key, for the status line at the first stage; "" once the user has moved or taken it."""
        return HINT if not self._has_moved and isinstance(self._host.model, Ready) and self._host.is_free else ""

    def selection_changed(self, old: Selection, new: Selection) -> None:
        self._has_moved |= new.stage != "tokens" or (old.run == new.run and replace(old, width=new.width) != new)

    @property
    def is_playing(self) -> bool:
        return self._playing is not None and self._playing.is_running

    @property
    def caption(self) -> str:
        """The sentence on the stage that the tour shows; "" while none is played, or until the stage's numbers have come."""
        selection, model = self._host.selection, self._host.model
        if not self.is_playing or not isinstance(model, Ready) or self._shown is None:
            return ""
        step = model.path.steps[index_of(selection, model.path.steps)]
        sentence = tour_sentence(step, selection, model.facts, model.path)
        return " · ".join(filter(None, (sentence, self._place, "+ faster - slower, any other key stops")))

    def actions(self) -> Actions:
        return (self.do_tour,)

    def do_tour(self) -> None:
        if not isinstance(self._host.model, Ready):
            self._host.say("The tour needs the model, which is still being loaded.")
            return
        if self._pace is None:
            self._pace = PACE_OF[self._host.lab.preferences.animation]
        self._has_moved = True
        self._playing = self._host.start(self._play(), "tour")

    def key_pressed(self, key: str) -> bool:
        """Change the pace, or end the tour; a key that does more than that is then for somebody else."""
        if not self.is_playing:
            return False
        if key in PACE_KEYS:
            self._pace = min(max((self._pace or 0) - PACE_KEYS[key], 0), len(SECONDS_A_STAGE) - 1)
            return True
        self.stop()
        return key in ("p", "escape")

    def stop(self) -> None:
        if self._playing is not None:
            self._playing.cancel()
            self._playing = self._shown = None
            self._host.say_location()

    async def _play(self) -> None:
        await asyncio.sleep(0)  # from Python 3.12 on it begins before `do_tour` knows that it plays
        steps = self._list.steps
        here = index_of(self._host.selection, steps)
        stops = tour_stops(steps, 0 if here == len(steps) - 1 else here)
        for number, index in enumerate(stops):
            began = time.monotonic()
            self._place = f"{number + 1}/{len(stops)}"
            self._shown = at_step(self._host.selection, steps[index])
            self._host.selection = self._shown
            self._host.say_location()
            await self._host.session.settle(began, lambda: SECONDS_A_STAGE[self._pace or 0])
            if self._host.selection != self._shown or not self._host.is_free:
                break
        self._playing = self._shown = None
        self._host.say_location()


def tour_stops(steps: Sequence[StageEntry], first: int) -> list[int]:
    """Indices of the steps from `first` on: all, but of layers after the first one only what they add to the stream."""
    layers = [step.layer for step in steps[first:] if step.layer is not None]
    whole_layer = layers[0] if layers else None
    return [
        index
        for index, step in enumerate(steps)
        if index >= first and (step.layer in (None, whole_layer) or STAGES[step.stage].ends_part)
    ]


def tour_sentence(step: StageEntry, selection: Selection, facts: ModelFacts, path: LensPath) -> str:
    """One sentence on a stage; where an intervention changes it, on that; "" where its numbers have not come."""
    stage, lens = STAGES[step.stage], step.lens
    on_part = [each for each in selection.interventions if step.group in changed_groups((each,))]
    changing = [each for each in on_part if stage.ends_part or not each.part.startswith("resid")]
    if changing:
        return f"Changed here: {describe_interventions(changing)}."
    if lens is None and "{prediction}" in stage.tour:
        return ""
    return stage.tour.format(
        facts=facts,
        layer=(step.layer or 0) + 1,
        head=selection.head + 1,
        heads=counted(facts.heads, "head"),
        head_width=facts.width // facts.heads,
        neurons=4 * facts.width,
        tokens=counted(path.dropped + len(path.tokens), "token"),
        seen=f"; the model sees the last {whole(len(path.tokens))}" if path.dropped else "",
        next=path.position + 2,
        added=significant(step.added or 0.0),
        prediction=f"“{lens.label}” ({probability(lens.probability)})" if lens else "",
    )
