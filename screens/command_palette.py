"""The command palette: every action that is possible now, in words."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import cast, get_args

from textual.command import DiscoveryHit, Hit, Hits, Provider
from textual.message import Message
from textual.types import IgnoreReturnCallbackType

from lab.core.preferences import AnimationSpeed
from screens.app_state import AppState
from screens.messages import CloneSettings, CompareWith, DeleteRun, RenameRun, RunChosen

Command = tuple[str, str, IgnoreReturnCallbackType]
"""Title, description and callback."""


NOT_HERE = {"command_palette", "back", "app.focus_next", "app.focus_previous"}
"""Actions left out of the palette."""


class LabCommands(Provider):
    """Commands from the bindings enabled on the screen in view, the runs on disk, and the app."""

    def _commands(self) -> Iterator[Command]:
        app = cast(AppState, self.app)
        seen: set[str] = set()
        for node, binding, enabled, tooltip in self.screen.active_bindings.values():
            words = tooltip or binding.tooltip
            if not enabled or not words or binding.system or binding.action in seen | NOT_HERE:
                continue
            seen.add(binding.action)
            key = app.get_key_display(binding)
            yield words, f"key {key}", partial(app.run_action, binding.action, node)
        for run in app.runs:
            yield f"Watch the run {run.name}", f"{run.text}, {run.phase}", self._post(RunChosen(run.name, "train"))
            yield f"Inspect the model of {run.name}", f"{run.text}, {run.phase}", self._post(RunChosen(run.name, "inspect"))
        current = app.run_summary(app.run_name)
        if current is not None:
            name = current.name
            yield f"Compare {name} with another run", "curves, settings, samples", self._post(CompareWith(name))
            yield f"A new run with the settings of {name}", "fills in the form", self._post(CloneSettings(current))
            if not current.is_demo:
                yield f"Rename {name}", "renames its folder", self._post(RenameRun(current))
                yield f"Delete {name}", "asks first", self._post(DeleteRun(current))
        now = app.preferences.animation
        for speed in get_args(AnimationSpeed):
            if speed != now:
                yield f"Animation: {speed}", f"now {now}", partial(app.change_preferences, animation=speed)
        yield "Save a screenshot", "SVG", partial(app.set_timer, 0.1, app.deliver_screenshot)

    def _post(self, message: Message) -> Callable[[], object]:
        return partial(self.app.post_message, message)

    async def discover(self) -> Hits:
        for words, help_text, callback in self._commands():
            yield DiscoveryHit(words, callback, help=help_text)

    async def search(self, query: str) -> Hits:
        matcher = self.matcher(query)
        for words, help_text, callback in self._commands():
            score = matcher.match(words)
            if score > 0:
                yield Hit(score, matcher.highlight(words), callback, help=help_text)
