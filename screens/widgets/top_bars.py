"""The bars at the top: the six modes with the run that is training, and the pages of a mode."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.cells import cell_len
from textual import events
from textual.message import Message
from textual.reactive import reactive
from textual.strip import Strip
from textual.widget import Widget

from lab.core.visible_text import visible
from screens.messages import ModeChosen, RunChosen
from screens.terminal.textual_internals import face_of
from screens.widgets.text_fitting import Piece, fit, painted_line

if TYPE_CHECKING:
    from lab.runs.run_summary import RunSummary

MODES = ("home", "data", "tokens", "train", "inspect", "learn")


class ModeBar(Widget):
    """One line: `▸4 Train◂` marks the current mode without colour; at the right, the run that is training."""

    COMPONENT_CLASSES = {"mode-bar--mode", "mode-bar--current", "mode-bar--key", "mode-bar--live"}
    DEFAULT_CSS = """
    ModeBar {
        dock: top; height: 1; background: $panel; color: $foreground;
        & > .mode-bar--mode { color: $foreground 80%; }
        & > .mode-bar--key { color: $footer-key-foreground; text-style: bold; }
        & > .mode-bar--current { color: $foreground; background: $primary 40%; text-style: bold; }
        & > .mode-bar--live { color: $success; }
    }
    """

    live: reactive[tuple[str, str, str] | None] = reactive(None)
    """The run that is training: sign of its phase, name, progress; None if there is none."""

    def __init__(self, current: str) -> None:
        super().__init__()
        self.current = current
        self._ends: list[tuple[int, str]] = []
        self._live_run = ""
        """The one run that is training; empty if there are several, or none."""
        self._live_width = 0

    def on_mount(self) -> None:
        self.watch(self.app, "runs", self._show_active_run)

    def _show_active_run(self, runs: tuple[RunSummary, ...]) -> None:
        active = [run for run in runs if run.is_active]
        self._live_run = active[0].name if len(active) == 1 else ""
        if lost := getattr(self.app, "lost_machine", ""):
            self.live, self._live_run = ("✗", lost, "lost"), ""
            return
        if not active:
            self.live = None
            return
        from lab.runs.run_summary import PHASES

        first = active[0]
        if len(active) == 1:
            self.live = (PHASES[first.phase][0], first.name, f"{first.progress:.0%}")
        else:
            self.live = (PHASES["training"][0], f"{len(active)} runs", "training")

    def render_line(self, y: int) -> Strip:
        pieces: list[Piece] = []
        self._ends = []
        at = 0
        for number, mode in enumerate(MODES, 1):
            key = face_of(f"mode.{mode}", str(number))
            if mode == self.current:
                part = [(f"▸{key} {mode.title()}◂", "current")]
            else:
                part = [(f" {key}", "key"), (f" {mode.title()} ", "mode")]
            pieces += [*part, (" ", "")]
            at += sum(len(text) for text, _ in part) + 1
            self._ends.append((at, mode))
        return painted_line(self, "mode-bar", [*pieces, *self._live_pieces(self.size.width - at)])

    def _live_pieces(self, room: int) -> list[Piece]:
        self._live_width = 0
        if self.live is None:
            return []
        sign, name, how_far = self.live
        name = visible(name)
        longest = room - cell_len(f"●  {how_far} ")
        if longest < 1:
            return []
        name = name if cell_len(name) <= longest else fit(name, longest)
        live = f"{sign} {name} {how_far}"
        self._live_width = cell_len(live) + 1
        return [(" " * (room - 1 - cell_len(live)), ""), (live, "live"), (" ", "")]

    def on_click(self, event: events.Click) -> None:
        """Show the mode that was clicked on, or the run that is training; with several of them, the list of runs."""
        for end, mode in self._ends:
            if event.x < end:
                self.post_message(ModeChosen(mode))
                return
        if self.live is not None and event.x >= self.size.width - self._live_width:
            self.post_message(RunChosen(self._live_run, "train") if self._live_run else ModeChosen("home"))


GAP = 1
"""Character cells between two pages."""
ARROW = " → "
"""Between two steps."""


@dataclass(frozen=True)
class PageLink:
    """A page: its name in code and its title; the tooltip where it says more, and its synonyms."""

    name: str
    title: str
    tooltip: str = ""
    synonyms: str = ""


class PageBar(Widget):
    """One line: `▸strip◂  side by side` marks the current page without colour. Steps that do not fit are left out whole."""

    COMPONENT_CLASSES = {"page-bar--page", "page-bar--key", "page-bar--current", "page-bar--step", "page-bar--here"}
    DEFAULT_CSS = """
    PageBar {
        height: 1; padding: 0 1;
        & > .page-bar--page { color: $foreground 80%; }
        & > .page-bar--key { color: $footer-key-foreground; text-style: bold; }
        & > .page-bar--current { color: $foreground; background: $primary 40%; text-style: bold; }
        & > .page-bar--step { color: $foreground 65%; }
        & > .page-bar--here { color: $foreground; text-style: bold underline; }
    }
    """

    current: reactive[str] = reactive("")
    steps: reactive[tuple[str, ...]] = reactive(())
    """The steps of the pipeline, first to last."""
    short_steps: reactive[tuple[str, ...]] = reactive(())
    """The same steps in fewer words, for where those do not fit."""
    step: reactive[int | None] = reactive(None)
    """The step that the current page is about."""

    @dataclass
    class Chosen(Message):
        """A page was clicked on."""

        page: str

    def __init__(self, pages: Sequence[PageLink], current: str, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._pages = tuple(pages)
        self.set_reactive(PageBar.current, current)

    def render_line(self, y: int) -> Strip:
        pieces: list[Piece] = []
        for page in self._pages:
            pieces.append((f"▸{page.title}◂", "current") if page.name == self.current else (f" {page.title} ", "page"))
            pieces.append((" " * GAP, ""))
        pieces.append(("[ ] ", "key"))
        room = self.size.width - sum(cell_len(text) for text, _ in pieces)
        return painted_line(self, "page-bar", [*pieces, *self._step_pieces(room)])

    def _step_pieces(self, room: int) -> list[Piece]:
        names = [visible(name) for name in self.steps]
        length = cell_len(ARROW.join(names))
        if length > room:
            names = [visible(name) for name in self.short_steps]
            length = cell_len(ARROW.join(names))
        if not names or length > room:
            return []
        pieces = [(" " * (room - length), "")]
        for number, name in enumerate(names):
            arrow = [(ARROW, "step")] if number else []
            pieces += [*arrow, (name, "here" if number == self.step else "step")]
        return pieces

    def on_click(self, event: events.Click) -> None:
        offset = event.get_content_offset(self)
        at = 0
        for page in self._pages:
            end = at + cell_len(f" {page.title} ")
            if offset is not None and at <= offset.x < end:
                self.post_message(self.Chosen(page.name))
                return
            at = end + GAP
