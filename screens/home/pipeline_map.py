"""The pipeline from text to prediction, drawn as boxes or lines, and the next step along it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from rich.cells import cell_len
from textual import events
from textual.content import Content
from textual.strip import Strip
from textual.widget import Widget

from lab.core.number_format import fixed, whole
from lab.core.visible_text import visible
from lab.runs.home_folder import watched_machine
from screens.messages import ModeChosen
from screens.widgets.text_fitting import Piece, fit, painted_line, wrap

if TYPE_CHECKING:
    from lab.runs.run_summary import RunSummary


class PipelineStop(NamedTuple):
    """One step of the pipeline: its name, a description, the key of the mode that shows it, and the name of the page there."""

    title: str
    words: str
    key: str
    page: str = ""


PIPELINE = (
    PipelineStop("collect text", "a file of yours, or a built-in text", "2 Data", "choose"),
    PipelineStop("clean", "rules, and what each of them takes", "2 Data", "clean"),
    PipelineStop("tokenize", "split into tokens, each with a number", "3 Tokens", "strip"),
    PipelineStop("train", "predict the next token, adjust the weights", "4 Train"),
    PipelineStop("predict", "the weights are frozen: one token at a time", "5 Inspect"),
    PipelineStop("understand", "lessons on each step, with a live model", "6 Learn"),
)
TITLE = "From text to prediction"
BORDERS = {1: ("╭", "╮"), 7: ("╰", "╯")}
"""The lines of the boxes' borders, and their corners."""


class PipelineMap(Widget):
    """Boxes with arrows where there is room for them, else one line for each step. Each is a link to its mode."""

    COMPONENT_CLASSES = {
        "pipeline-map--title",
        "pipeline-map--stop",
        "pipeline-map--words",
        "pipeline-map--key",
        "pipeline-map--line",
    }
    DEFAULT_CSS = """
    PipelineMap {
        height: 8;
        & > .pipeline-map--title { color: $text-muted; }
        & > .pipeline-map--stop { text-style: bold; }
        & > .pipeline-map--words { color: $text-muted; }
        & > .pipeline-map--key { color: $footer-key-foreground; text-style: bold; }
        & > .pipeline-map--line { color: $primary; }
    }
    """
    BOX = 15
    """Fewest columns inside a box, without its border and the arrow to the next."""

    def on_click(self, event: events.Click) -> None:
        stop = self._stop_at(event.x, event.y)
        if stop is not None:
            self.post_message(ModeChosen(stop.key.split()[1].lower(), stop.page))

    def _stop_at(self, x: int, y: int) -> PipelineStop | None:
        if not self._has_boxes:
            return PIPELINE[y - 1] if 1 <= y <= len(PIPELINE) else None
        number, within = divmod(x, self._inner + 3)
        is_box = 1 <= y <= 7 and within < self._inner + 2 and number < len(PIPELINE)
        return PIPELINE[number] if is_box else None

    @property
    def _has_boxes(self) -> bool:
        return self.size.width >= len(PIPELINE) * (self.BOX + 3) - 1

    @property
    def _inner(self) -> int:
        return (self.size.width + 1) // len(PIPELINE) - 3

    def render_line(self, y: int) -> Strip:
        if y == 0:
            title = TITLE if self._has_boxes else f"{TITLE}, and the key that shows each step"
            return painted_line(self, "pipeline-map", [(title if self._has_boxes else fit(title, self.size.width), "title")])
        return painted_line(self, "pipeline-map", self._boxes(y) if self._has_boxes else self._line(y))

    def _line(self, y: int) -> list[Piece]:
        if y > len(PIPELINE):
            return []
        stop = PIPELINE[y - 1]
        room = max(0, min(44, self.size.width - 17 - max(len(each.key) for each in PIPELINE)))
        title, words = fit(stop.title, 14), fit(stop.words, room) + " "
        return [("  " if y == 1 else "↓ ", "line"), (title, "stop"), (words, "words"), (stop.key, "key")]

    def _boxes(self, y: int) -> list[Piece]:
        inner = self._inner
        pieces: list[Piece] = []
        for number, stop in enumerate(PIPELINE):
            if y in BORDERS:
                left, right = BORDERS[y]
                pieces.append((f"{left}{'─' * inner}{right} ", "line"))
            elif y < max(BORDERS):
                words = [*wrap(stop.words, inner), "", "", ""][:3]
                text, role = [(stop.title, "stop"), *((line, "words") for line in words), (stop.key, "key")][y - 2]
                arrow = "▸" if y == 4 and number < len(PIPELINE) - 1 else " "
                pieces += [("│", "line"), (text.center(inner - cell_len(text) + len(text)), role), (f"│{arrow}", "line")]
        return pieces


ACTIONS = {
    "enter": "screen.choose",
    **{key: f"app.mode('{mode}')" for key, mode in (("2", "data"), ("4", "train"), ("5", "inspect"), ("6", "learn"))},
}
LINKS = {f"key_{key}": f"[@click={action}]{key}[/]" for key, action in ACTIONS.items()}
LINKS["key_import"] = "[@click=screen.import_model]ctrl+p, then gpt2[/]"
"""Markup of each key that the line names: a click does the same."""
NEW_HERE = "New here? {key_6} opens the lessons. {key_5} looks into a model. {key_2} trains on your text."
WENT_WRONG = ("failed", "interrupted", "not answering", "not started")


class LessonAhead(NamedTuple):
    """The lesson to read on with."""

    name: str
    """Its number and title."""
    place: str
    """The step that it was left at, in words; empty if it was not begun."""
    read_at: float
    """Unix time at which a step of a lesson was read last."""


def lesson_ahead(home: Path) -> LessonAhead | None:
    """The lesson to read on with; None before the first, and where all are done."""
    from lab.lessons.learner_progress import progress_path, read_progress

    progress, _ = read_progress(home)
    if not progress.last:
        return None
    from lab.lessons.lesson import lessons_and_problems

    lessons = {each.name: each for each in lessons_and_problems()[0]}
    name = progress.ahead(list(lessons))
    if name is None:
        return None
    lesson, steps = lessons[name], len(lessons[name].steps)
    place = f", at step {min(progress.of(name).step + 1, steps)} of {steps}" if name in progress.lessons else ""
    return LessonAhead(f"lesson {lesson.number}, {lesson.title}", place, progress_path(home).stat().st_mtime)


def next_step(selected: RunSummary | None, newest: RunSummary | None, ended_at: float, lesson: LessonAhead | None) -> Content:
    """The line. A run that trains comes first, then what was last: a lesson, or the end of a run at `ended_at`, 0 without one."""
    if newest is not None and newest.is_active:
        run, key = (selected, "enter") if selected is not None and selected.is_active else (newest, "4")
        return _of_run(f"{{key_{key}}} watches", run)
    first = NEW_HERE.rpartition(" {key_2}")[0] if watched_machine() else NEW_HERE
    if lesson is not None and lesson.read_at > ended_at:
        words = "{key_6} leads to "
        if ended_at:
            return with_links(f"{words}{lesson.name}{lesson.place}.")
        return with_links(f"{words}{lesson.name.partition(',')[0]}.{first.partition('.')[2]}")  # the other two are still ahead
    if selected is not None and selected.is_bundled and newest is not None and not newest.problem:
        return _of_run("{key_4} shows", newest)
    if selected is None or selected.problem or not ended_at:
        return with_links(first)
    return _of_run("{key_enter} looks inside" if opening_mode(selected) == "inspect" else "{key_enter} shows", selected)


def opening_mode(run: RunSummary) -> str:
    """The mode that shows most of a run: Train while it trains, where it went wrong or is watched from afar, else Inspect."""
    return "train" if run.is_active or run.is_watched or run.phase in WENT_WRONG else "inspect"


def _of_run(words: str, run: RunSummary) -> Content:
    from lab.runs.run_summary import shown_phase

    if run.phase == "finished" and run.val_loss is not None:
        return with_links(f"{words} {visible(run.name)}: best val loss {fixed(run.val_loss)} nats per token.")
    at = "" if run.phase == "finished" else f", step {whole(run.step)}{f' of {whole(run.steps)}' if run.steps else ''}"
    phase = shown_phase(run.phase, is_imported=run.is_imported)[1]
    return with_links(f"{words} {visible(run.name)}: {phase}{at}.")


def with_links(words: str) -> Content:
    """Words with a link in place of each `{key_...}`."""
    parts = re.split(r"\{(key_\w+)\}", words)
    return Content("").join(Content.from_markup(LINKS[part]) if at % 2 else Content(part) for at, part in enumerate(parts))
