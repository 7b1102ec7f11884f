"""The page of the notes, checked: verdicts as they come, everything by keyboard, on any engine."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import Markdown

from lab.engine.client import EngineDied, EngineError
from lab.engine.method_registry import EXPERIMENT, EngineMethod, ExperimentParams
from lab.experiments.experiment_result import ExperimentResult
from lab.lessons.claim import load_claims
from lab.views.blocks import Cell, Column, Table, View
from lab.views.screen_state import ScreenState
from screens.blocks.block_view import BlockView
from screens.learn.claim_reader import ClaimChecks, ClaimReader, ClaimText
from screens.learn.claims_page import ClaimList, ClaimsPage
from screens.learn.learn_page import LearnEngine
from screens.learn.live.live_widget import ModelAtHand
from screens.widgets.status_line import StatusLine
from tests.screens.fake_wire import SilentEngine, received_params, received_result
from tests.screens.learn.conftest import hold, learn_app
from tests.screens.pilot_waits import LONGEST_WAIT

MEASURES: dict[str, Any] = {
    "vocabulary": {"vocabulary": 50_277, "single_bytes": 256, "merges": 50_020, "special": 1, "own_vocabulary": 300},
    "encode_and_decode": {"same": False, "encoded": "1, 2", "decoded": "“*a*”", "own_encoded": "3", "own_tokens": 1},
}


class CannedEngine(SilentEngine):
    """Measures what `MEASURES` holds; other experiments lack something. `gate` holds answers back."""

    def __init__(self) -> None:
        self.asked: list[ExperimentParams] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.refuses: dict[str, Exception] = {}
        self.starts, self.pid = 1, 1

    async def call(self, method: EngineMethod[Any, Any], params: Any, *, group: str | None = None) -> Any:
        if method is not EXPERIMENT:
            await super().call(method, params)
        asked = received_params(method, params)
        self.asked.append(asked)
        await self.gate.wait()
        if asked.name in self.refuses:
            raise self.refuses[asked.name]
        table = Table([Column("", "left"), Column("n")], [[Cell("one"), Cell("1", 1.0, bar=1.0)]])
        found = ExperimentResult(
            View(asked.name, f"picture of {asked.name}", "", [table]), MEASURES.get(asked.name, {}), "It is gone."
        )
        return received_result(method, found)


@pytest.fixture
def engine() -> CannedEngine:
    return CannedEngine()


def page(pilot: Pilot[None]) -> ClaimsPage:
    return pilot.app.screen.query_one(ClaimsPage)


def lines(pilot: Pilot[None]) -> list[str]:
    """The claims as the list shows them, each on one line."""
    choices = page(pilot).choices
    return [" ".join(str(choices.get_option_at_index(at).prompt).split()) for at in range(choices.option_count)]


def words(pilot: Pilot[None]) -> str:
    return pilot.app.screen.query_one("#claim-words", Markdown).source


async def open_claims(pilot: Pilot[None], until: Any) -> None:
    await until(pilot, lambda: pilot.app.screen.query(ClaimsPage))
    await pilot.press("]")
    await until(pilot, lambda: page(pilot).checks is not None and page(pilot).checks.model is not None)


async def test_verdicts_come_one_after_the_other_and_are_read_by_keyboard(home: Any, until: Any, engine: CannedEngine) -> None:
    claims = load_claims()
    all_checked = f"{len(claims)} of {len(claims)} checked on demo"
    engine.gate.clear()
    async with learn_app(lambda: engine).run_test(size=(80, 24)) as pilot:
        await open_claims(pilot, until)
        await until(pilot, lambda: engine.asked)
        assert isinstance(pilot.app.focused, ClaimList)
        assert lines(pilot)[0].startswith("… runs GPT-2's vocabulary")
        assert lines(pilot)[1].startswith("· waits ")
        engine.gate.set()
        await until(pilot, lambda: page(pilot).is_settled)
        assert [each.name for each in engine.asked] == [claim.experiment for claim in claims if claim.experiment]
        told = next(at for at, claim in enumerate(claims) if claim.name == "weeks-or-months")
        assert lines(pilot)[told] == "◐ limit Training a language model takes weeks or months"
        page(pilot).restore_state(ScreenState(mode="learn", page="claims", claim="weeks-or-months"))
        await until(pilot, lambda: words(pilot).startswith("◐ **True with a limit: Training a language model takes weeks"))
        assert "discussion 481" in words(pilot)
        assert not pilot.app.screen.query_one("#claim-view", BlockView).region, "there is no picture"
        await pilot.press("escape")
        page(pilot).choices.highlighted = 0
        assert lines(pilot)[0].startswith("✓ true GPT-2's vocabulary")
        assert lines(pilot)[1].startswith("✗ not so “The big dog ran”")
        assert lines(pilot)[2].startswith("? unclear GPT-2 reads")
        assert str(page(pilot).choices.border_subtitle).startswith(f"{all_checked} · ↓ ")
        assert not pilot.app.screen.query_one(ClaimReader).region  # the list alone
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(pilot.app.focused, ClaimText))
        await until(pilot, lambda: words(pilot).startswith("✓ **True: GPT-2's vocabulary has 50,277 tokens**"))
        assert "256 single bytes, 50,020 merges" in words(pilot)
        assert pilot.app.screen.query_one("#claim-view", BlockView).view.title == "picture of vocabulary"
        await pilot.press("space")
        await until(pilot, lambda: r"“\*a\*”" in words(pilot))
        await pilot.press("space")
        await until(pilot, lambda: "It is gone." in words(pilot))
        assert words(pilot).startswith("? **Cannot be checked here: GPT-2 reads")
        assert f"claim 3 of {len(claims)} · ? cannot be checked here" in str(pilot.app.screen.query_one(ClaimText).border_title)
        await pilot.press("tab")
        await until(pilot, lambda: isinstance(pilot.app.focused, BlockView))
        await until(pilot, lambda: "one" in pilot.app.screen.query_one("#claim-status", StatusLine).left)
        await pilot.press("z")
        await until(pilot, lambda: not pilot.app.screen.query_one(ClaimText).region)
        await hold(pilot, "z", "backspace", "backspace")
        await until(pilot, lambda: words(pilot).startswith("✓ **True: GPT-2's vocabulary"))
        before = len(engine.asked)
        await pilot.press("r")
        await until(pilot, lambda: page(pilot).is_settled and len(engine.asked) == before + 1)
        assert engine.asked[-1].sampling.seed == 1
        assert page(pilot).screen_state().claim == "vocabulary"
        reader, results = pilot.app.screen.query_one(ClaimReader), page(pilot).checks.results
        for claim, checked, is_due in ((claims[1], None, True), (claims[0], results["vocabulary"], False)):
            reader.show(claim, "", checked, is_running=is_due, run="demo")
            title = str(pilot.app.screen.query_one("#claim-view", BlockView).border_title)
            assert title == "picture of vocabulary" + " …" * is_due, "only what is to be computed again is marked"
        await pilot.press("]")
        await until(pilot, lambda: pilot.app.screen.page == "notes")  # as the line of pages says, also inside a claim
        await pilot.press("[")
        await until(pilot, lambda: isinstance(pilot.app.focused, ClaimText))
        picture = pilot.app.screen.query_one("#claim-view", BlockView)
        await until(pilot, lambda: picture.region and picture.room > 10)
        width, first = picture.room, picture.view
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(pilot.app.focused, ClaimList))
        await pilot.press("down")
        await until(pilot, lambda: not picture.region and picture.view is not first)
        assert picture.room == width, "a picture that comes while it is hidden has the width that it is shown in again"


async def test_the_claim_in_view_is_checked_first_and_nothing_is_asked_out_of_sight_or_of_a_dead_engine(
    home: Any, until: Any, engine: CannedEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    claims = [*load_claims()[:3], next(claim for claim in load_claims() if not claim.experiment)]
    monkeypatch.setattr("screens.learn.claims_page.load_claims", lambda: claims)
    engine.gate.clear()
    async with learn_app(lambda: engine).run_test(size=(80, 24)) as pilot:
        await open_claims(pilot, until)
        await until(pilot, lambda: engine.asked)
        await pilot.press("enter")
        for claim in claims:
            if not claim.experiment:
                await until(pilot, lambda: claim.sources[0] in words(pilot))  # noqa: B023
                await pilot.press("space")
                continue
            await until(pilot, lambda: words(pilot) == f"**{claim.title}**")  # noqa: B023
            assert "being checked…" in str(pilot.app.screen.query_one(ClaimText).border_title)
            assert not pilot.app.screen.query_one("#claim-view").region  # no empty picture
            await until(pilot, lambda: engine.asked[-1].name == claim.experiment)  # noqa: B023
            await pilot.press("space")
        await until(pilot, lambda: isinstance(pilot.app.focused, ClaimList))

        await pilot.press("[")
        asked = len(engine.asked)
        engine.gate.set()
        await until(pilot, lambda: page(pilot).checks.results)
        await pilot.pause()
        assert len(engine.asked) == asked
        pilot.app.screen.model = "./another"  # type: ignore[attr-defined]
        await until(pilot, lambda: not page(pilot).checks.results)
        await pilot.press("]")
        await until(pilot, lambda: page(pilot).is_settled)
        assert {each.run for each in engine.asked[asked:]} == {"./another"}

        engine.refuses = {
            "vocabulary": EngineDied("The engine was killed by SIGKILL."),
            "encode_and_decode": EngineError("The text of demo is gone."),
        }
        page(pilot).choices.highlighted = 0
        await pilot.pause()
        asked = len(engine.asked)
        pilot.app.screen.model = "demo"  # type: ignore[attr-defined]
        status = pilot.app.screen.query_one("#claim-status", StatusLine)
        await until(pilot, lambda: "killed by SIGKILL" in status.left)
        assert len(engine.asked) == asked + 1, "an engine that has died is asked nothing more until another claim is looked at"
        await pilot.press("j")
        await until(pilot, lambda: "The text of demo is gone." in words(pilot))
        await until(pilot, lambda: "killed by SIGKILL" in status.left)  # it goes on with the others, and comes to the first again
        assert len(page(pilot).checks.results) == len(claims) - 1
        engine.refuses.clear()
        await pilot.press("k")
        await until(pilot, lambda: page(pilot).is_settled)
        assert lines(pilot)[0].startswith("✓ true")


async def test_a_claim_that_compares_a_number_with_a_text_is_not_checked_and_the_others_are(
    engine: CannedEngine, tmp_path: Path
) -> None:
    text = '# Water\n\nexperiment: vocabulary\ntrue if: vocabulary == "wet"\n\nText.\n\n## Write instead\nNothing.\n'
    (tmp_path / "01-water.md").write_text(text)
    (tmp_path / "02-fire.md").write_text(text.replace('"wet"', "50277"))
    checks = ClaimChecks(LearnEngine(engine), load_claims(tmp_path), lambda: None)
    checks.use_model(ModelAtHand("demo", ""))
    checks.go_on(True)
    async with asyncio.timeout(LONGEST_WAIT):
        while not checks.is_idle:
            await asyncio.sleep(0)
    assert [each.verdict for each in checks.results.values()] == ["unchecked", "true"]
    assert "compares a number with a text" in checks.results["water"].reason
