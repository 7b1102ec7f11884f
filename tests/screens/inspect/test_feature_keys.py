"""Features in Inspect by their keys: the view, the card of one and the way back, the fit in the background and its end."""

import asyncio
from typing import Any

import pytest

from lab.inspect.interventions import Intervention
from lab.views.blocks import NO_FEATURES, Cell, Column, Table, View
from tests.screens.inspect.conftest import FakeEngine, Open


class FittingEngine(FakeEngine):
    """An engine whose fit lasts until `fitted` is set."""

    def __init__(self) -> None:
        super().__init__()
        self.fitted, self.is_fitting = asyncio.Event(), False

    async def call(self, method: Any, params: Any) -> Any:
        if method.name != "fit_features":
            return await super().call(method, params)
        self.is_fitting = True
        assert params.layer == 1, "the chosen layer"
        try:
            await self.fitted.wait()
        finally:
            self.is_fitting = False
        return True

    def features(self, ref: str, **_: Any) -> View:
        if self.is_fitting:
            return View("fitting", "features", "34% are fitted.", [], is_partial=True)
        if not self.fitted.is_set():
            return View(NO_FEATURES, "features", "None yet.", [])
        if ref:
            return View(f"explain {ref}", f"card of {ref}", "Active.", [])
        rows = [[Cell(f"raised by {number}"), Cell(str(number), number, f"blocks.1.feature[{number}]")] for number in (7, 29)]
        return View("features", "two features", "Two.", [Table([Column("raises"), Column("feature")], rows)])


@pytest.fixture
def engine() -> FittingEngine:
    return FittingEngine()


async def test_a_fit_goes_on_beside_the_screen_can_be_stopped_and_leads_to_cards(inspect: Open, engine: FittingEngine) -> None:
    async with inspect() as pilot:
        await pilot.go("inspect.features")
        assert "None yet." in pilot.text
        await pilot.press("right_curly_bracket", "n")
        await pilot.until(lambda: "34% are fitted." in pilot.text)
        assert pilot.screen.would_be_lost() == "the features of tale, which are being fitted"
        await pilot.press("x")
        await pilot.settle()
        assert "None yet." in pilot.text
        assert not engine.is_fitting
        assert not pilot.screen.selection.interventions, "x stopped the fit and ablated nothing"
        await pilot.press("n", "escape")
        await pilot.go("j", "j")
        assert engine.is_fitting, "the rest of Inspect is used meanwhile"
        engine.fitted.set()
        await pilot.go("inspect.features")
        await pilot.until(lambda: pilot.title == "two features" and not pilot.screen.would_be_lost())
        await pilot.go("enter", "down", "enter")
        assert pilot.title == "card of blocks.1.feature[29]"
        await pilot.go("escape")
        assert (pilot.title, pilot.view.spot and pilot.view.spot.ref) == ("two features", "blocks.1.feature[29]")
        await pilot.go("enter", "x")
        made = Intervention(part="resid_post", how="without", layer=1, toward="feature 29")
        assert (pilot.screen.selection.interventions, pilot.title) == ((made,), "two features")
        await pilot.go("down", "enter", "x")
        assert not pilot.screen.selection.interventions
