"""The line under the pipeline: the next step of what the user has done last, its key first."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from textual.content import Content

from lab.core.visible_text import visible
from lab.runs.home_folder import watched_machine

if TYPE_CHECKING:
    from lab.runs.run_summary import RunSummary

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
    from lab.lessons.learner import progress_path, read_progress

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
    from lab.core.number_format import fixed, whole
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
