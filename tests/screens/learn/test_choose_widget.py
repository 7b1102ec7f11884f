"""Learn: choosing between two answers, and the choices of others after each."""

from pathlib import Path
from typing import Any

import pytest
from textual.app import App, ComposeResult

from lab.runs.metrics_log import LineWriter
from lab.studies.study_job import Line, Plot, Rows
from lab.views.blocks import Table
from screens.blocks.block_view import BlockView
from screens.learn.live.study_widget import ChooseWidget

PAIRS = Rows(
    "pairs",
    "choices",
    ("A", "B", "judge", "reward model"),
    (("a dog", "a kind dog", "B", "B"), ("a cat", "a rude cat", "A", "B")),
)


@pytest.fixture
def recorded(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Writes the recorded result of a study called tiny."""
    monkeypatch.setattr("lab.studies.study_job.RECORDED", tmp_path)
    monkeypatch.setattr("screens.learn.live.study_widget.STUDIES", ("tiny",))

    def write(*lines: Line) -> None:
        writer = LineWriter(tmp_path / "tiny.jsonl")
        for line in lines:
            writer.write(line)
        writer.close()

    return write


class OneWidget(App[None]):
    def __init__(self) -> None:
        super().__init__()
        self.widget = ChooseWidget({"name": "tiny", "view": "pairs"}, None)  # type: ignore[arg-type]

    def compose(self) -> ComposeResult:
        yield self.widget


def shown(app: OneWidget) -> tuple[str, list[list[str]]]:
    view = app.query_one(BlockView).view
    assert view is not None
    table = view.blocks[0]
    assert isinstance(table, Table)
    return view.sentence, [[cell.text for cell in row] for row in table.rows]


async def test_the_choices_of_others_are_shown_after_ones_own_and_counted(recorded: Any, until: Any) -> None:
    recorded(PAIRS)
    app = OneWidget()
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: app.widget.is_settled)
        app.widget.take_focus()
        assert shown(app) == ("Which is better, A or B?", [["a dog", "a kind dog", "?", "?", "?"]])
        await pilot.press("b")
        sentence, rows = shown(app)
        assert sentence.endswith("Chose as you did: the judge 1 of 1, the reward model 1 of 1.")
        assert rows == [["a cat", "a rude cat", "?", "?", "?"], ["a dog", "a kind dog", "B", "B", "B"]]
        await pilot.press("a", "a")
        assert shown(app) == (
            "Chose as you did: the judge 2 of 2, the reward model 1 of 2.",
            [["a cat", "a rude cat", "A", "A", "B"], ["a dog", "a kind dog", "B", "B", "B"]],
        )


async def test_a_study_without_pairs_says_so(recorded: Any, until: Any) -> None:
    recorded(Plot("curve", "curve", "x", "y"))
    app = OneWidget()
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause(0.3)
        assert not app.widget.check_action("choose", ("A",))
