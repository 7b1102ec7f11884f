"""The learner's functions in Inspect: marked where they pass, compared where that is asked for."""

from pathlib import Path
from typing import Any

import pytest

from lab.exercises.check_result import CheckResult
from lab.exercises.learner_files import begin, checksum, remember, write_folder
from lab.exercises.your_model import ForwardPass
from lab.views.blocks import Parity
from tests.screens.inspect.conftest import FakeEngine, Open, ids_of, to_stage


async def test_stages_are_marked_and_compared_until_the_file_is_changed(
    inspect: Open, engine: FakeEngine, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = begin(write_folder(), "head")
    remember(write_folder(), "head", checksum(file))
    asked = []

    def use_passing(*given: Any, checkpoint: str, ids: tuple[int, ...], **_: Any) -> CheckResult:
        asked.append((*given[:2], checkpoint, ids))
        return CheckResult("", forward_pass=ForwardPass(["head"], Parity("model", 2e-6, 10), engine.open("tale", "best").step))

    monkeypatch.setattr("lab.exercises.check.use_passing", use_passing)
    async with inspect() as pilot:
        await pilot.until(lambda: pilot.screen.check_action("do", ("yours",)))
        await pilot.go(*to_stage("matrix"))
        assert "✓ attention pattern" in pilot.text
        assert not asked, "it runs where it is asked for"
        await pilot.press("inspect.yours")
        await pilot.until(lambda: "by your head: ✓ matches" in pilot.status)
        assert asked == [({"head": file}, home / "tale", "best", tuple(ids_of("The big dog ran")))]
        assert pilot.view.remark == "logits by yours: ✓ max error 2.0e−6"
        await pilot.go("k", "k")
        assert pilot.view.remark == "logits by yours: ✓ max error 2.0e−6"
        file.write_text("other")
        await pilot.until(lambda: not pilot.view.remark)
        assert "✓ attention" not in pilot.text
        assert not pilot.screen.check_action("do", ("yours",))
