"""Pictures of the pages Clean and Split."""

from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from lab.data.cleaning.rule_registry import BY_NAME
from screens.widgets.top_bars import PageBar
from tests.screens.data.conftest import DataApp
from tests.screens.pilot_waits import keys_to

# fmt: off
PICTURED = [
    "line-endings", "broken-text", "control-characters", "nfc", "gutenberg", "boilerplate", "long-lines", "symbol-lines",
    "emails", "phone-numbers", "duplicate-lines", "short-lines", "duplicate-paragraphs", "near-duplicates", "blank-lines",
]
# fmt: on
"""The rules in the picture, which a rule that is added later does not change."""


@pytest.fixture(autouse=True)
def _only_pictured_rules(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("clean_page", "clean_layout"):
        monkeypatch.setattr(f"screens.data.{module}.RULES", [BY_NAME[name] for name in PICTURED])


@pytest.mark.parametrize(("page", "size"), [("clean", (120, 40)), ("split", (80, 24))], ids=["clean-120x40", "split-80x24"])
def test_a_page_of_data(snap_compare: Any, until: Any, data_app: DataApp, page: str, size: tuple[int, int]) -> None:
    web = "Write to me@dogs.net, or share this.\r\n\r\n\r\n\r\nThe big dog ran fast.\r\nAccept all cookies\r\n"
    Path("web.txt").write_bytes(web.encode() * 20)
    app = data_app(text="web.txt")

    async def ready(pilot: Pilot[None]) -> None:
        screen: Any = app.screen
        await until(pilot, lambda: screen.text is not None and screen.text.source.endswith("web.txt"))
        await pilot.press(*("]", "]") if page == "clean" else "[")
        await until(pilot, lambda: screen.current.LINK.name == page)
        if page == "clean":
            await pilot.press("a", *keys_to("emails", PICTURED))
            await until(pilot, lambda: screen.current.funnel is not None and len(screen.current.funnel.steps) == len(PICTURED))
        else:
            await until(pilot, lambda: screen.current.tokens is not None)
        await until(pilot, lambda: screen.query_one(PageBar).steps[2] != "tokens")

    assert snap_compare(app, terminal_size=size, run_before=ready)
