"""Learn: progress that was kept when the lessons stood in another order."""

import json
from pathlib import Path

from lab.lessons.learner import progress_path
from lab.lessons.lesson import lessons
from screens.app import LabApp
from tests.fixture_types import Until
from tests.screens.learn.conftest import lessons_page

EARLIER = "after-pretraining worked-example simulator-of-documents induction hallucination spelling-and-counting"
"""The end of what was read in the earlier order, in which these lessons stood beside each other."""


async def test_lessons_that_were_done_stay_done_and_those_that_now_come_before_are_not_skipped(
    app: LabApp, home: Path, until: Until
) -> None:
    names = [lesson.name for lesson in lessons()]
    later = {"inference-faster", "chat", "preferences", "tokens-to-think", "repetition"}
    assert set(EARLIER.split()) <= set(names) - later
    kept = {name: {"step": 5, "is_done": True} for name in names if name not in later}
    kept["repetition"] = {"step": 2, "finished": [0, 1, 2]}
    progress_path(home).parent.mkdir(parents=True, exist_ok=True)
    progress_path(home).write_text(json.dumps({"lessons": kept, "last": "spelling-and-counting"}))
    async with app.run_test(size=(80, 24)) as pilot:
        page = await lessons_page(pilot, until)
        lines = [str(option.prompt).partition("\n")[0] for option in page.list.options]
        assert [line.startswith("✓") for line in lines] == [name not in later for name in names]
        assert lines[names.index("repetition")].endswith("  3/6"), "the place that it was left at"
        assert names[page.list.highlighted or 0] == "tokens-to-think"
        for name, after in (
            ("tokens-to-think", "repetition"),
            ("repetition", "inference-faster"),
            ("preferences", "inference-faster"),
        ):
            assert page._progress is not None
            for step in range(8):
                page._progress = page._progress.at(name, step, 8)
            assert names[page._next_lesson(page._progress)] == after
