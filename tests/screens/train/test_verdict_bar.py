"""The verdict in one line: what gives way on a narrow screen."""

from textual.app import App, ComposeResult

from lab.reports.verdict_line import VerdictLine
from screens.train.run_header import HINT, VerdictBar

LINE = VerdictLine("warn", ("overfitting", "val 3.46 → 3.64, steps 400 → 1,200", "0.57 nats above bigram"))


class BarApp(App[None]):
    def compose(self) -> ComposeResult:
        yield VerdictBar()


async def test_whole_parts_give_way_and_the_hint_first() -> None:
    said = {}
    for width in (100, 76, 60, 40):
        app = BarApp()
        async with app.run_test(size=(width, 3)) as pilot:
            bar = app.query_one(VerdictBar)
            bar.verdict = LINE
            await pilot.pause()
            said[width] = bar.render_line(0).text
            assert len(said[width]) == width
    assert said[100].rstrip().endswith(HINT)
    assert said[76].rstrip() == LINE.text
    assert said[60].startswith("! overfitting · val 3.46 → 3.64, steps 400 → 1,200")
    assert "nats" not in said[60]
    assert said[40].endswith("…")
