"""Insights: heads, a fixed place and updates at every evaluation."""

from typing import Any

import pytest
from textual.pilot import Pilot

from tests.screens.train.train_app import TrainApp, screen_of, watch

pytestmark = pytest.mark.usefixtures("home", "fixed_machine")


def page_of(pilot: Pilot[None]) -> list[str]:
    """The lines of the page about the inside of the model."""
    shown = screen_of(pilot).query_one("#insight-lines")
    return ["".join(text for text, _ in line) for line in shown.lines]  # type: ignore[attr-defined]


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
async def test_the_heads_are_shown_with_their_meters_and_can_be_walked_through_the_evaluations(
    app: TrainApp, make_run: Any, measured: Any, until: Any, size: tuple[int, int]
) -> None:
    measured(make_run("tale", step=1000), range(0, 1001, 100))
    async with app.run_test(size=size) as pilot:
        await watch(pilot, until, "tale")
        await pilot.press("e")
        await pilot.pause()
        page = page_of(pilot)
        assert page[0].startswith("An induction head has formed: at step 1,000 head 3.2 pays 72.0% of its")
        assert all(len(line.rstrip()) <= size[0] - 4 for line in page)
        row = next(line for line in page if line.startswith("▸3.2"))
        assert [number for number in row.split() if number[0].isdecimal()] == ["0.06", "0.02", "0.72"]
        heads = [line[1:4] for line in page if line[2:3] == "." and line[:1] in " ▸"]
        assert heads == [f"{layer}.{head}" for layer in range(1, 5) for head in range(1, 5)], "every head is in sight"
        await pilot.press("up", "k")
        assert any(line.startswith("▸2.4") for line in page_of(pilot))
        await pilot.press("left", "h", "left", "left", "left", "left")
        page = page_of(pilot)
        assert page[0].startswith("No induction head at step 400: the nearest, head ")
        assert any("step 400   5/11 ←/→" in line for line in page)
        await pilot.press("enter")
        await pilot.pause()
        plot = screen_of(pilot).query_one("#head-history")
        assert plot.display == (size == (80, 24)) or plot.size.height >= 9
        await pilot.press("t")
        await pilot.pause()
        assert "step 400   5/11" in "".join(page_of(pilot)), "all pages are at the same evaluation"
        await pilot.press("escape")
        await pilot.pause()
        assert screen_of(pilot).view.samples.display
        assert app.current_mode == "train"


async def test_a_fixed_place_shows_what_is_expected_and_what_a_head_looks_at(
    app: TrainApp, make_run: Any, measured: Any, until: Any
) -> None:
    measured(make_run("tale", step=1000), range(0, 1001, 100))
    async with app.run_test(size=(80, 24)) as pilot:
        await watch(pilot, until, "tale")
        await pilot.press("t")
        await pilot.pause()
        page = page_of(pilot)
        assert len(page) <= 21
        words = " ".join(page[:5])
        assert "The next token is “ dog”: the model gives it 61.0%" in words
        assert "“ big” was followed by “ dog” before" in words
        looked = page[next(at for at, line in enumerate(page) if line.startswith("attention of head 3.2 from “ big”")) :]
        assert any(line.startswith("  dog") and "62.0%" in line for line in looked)


async def test_updates_are_shown_by_part(app: TrainApp, make_run: Any, measured: Any, until: Any) -> None:
    measured(make_run("tale", step=1000), range(0, 1001, 100))
    async with app.run_test(size=(80, 24)) as pilot:
        await watch(pilot, until, "tale")
        await pilot.press("g")
        await pilot.pause()
        page = page_of(pilot)
        assert page[0].startswith("The update at step 1,000 changes ")
        row = next(line for line in page if line.startswith("4 MLP"))
        assert "2.0e−4" in row
        assert "1.00" in row
        await pilot.press("g")
        await pilot.pause()
        assert screen_of(pilot).query_one("#run-middle").display


async def test_a_run_without_measurements_says_so(app: TrainApp, make_run: Any, until: Any) -> None:
    make_run("tale", step=400)
    async with app.run_test(size=(80, 24)) as pilot:
        await watch(pilot, until, "tale")
        await pilot.press("e")
        await pilot.pause()
        assert page_of(pilot)[0].startswith("No measurements: this run was trained by an older version.")
        await pilot.press("down", "left", "enter")
        assert page_of(pilot)[0].startswith("No measurements")
