"""The pictures of a planned run beside its form: the model, the learning rate, the two ends of the text."""

import re
from pathlib import Path
from typing import Any

import pytest
from textual.widgets import Input, Static

from lab.core.machine import machine
from lab.planning.resolve_run import TextSize, resolve
from lab.planning.settings_table import RunRequest, Settings
from models.config import PRESETS
from models.parameter_count import parameter_count
from screens.blocks.block_layout import EIGHTHS_UP
from screens.train.planned_run import CURVE, LINES, model_picture
from screens.widgets.key_bar import KeyBar
from tests.screens.pilot_waits import press, resize, settle
from tests.screens.train.train_app import TrainApp, screen_of, text_of

pytestmark = pytest.mark.usefixtures("home", "fixed_machine")

IN_SIGHT: dict[tuple[int, int], tuple[str, ...]] = {
    (80, 24): (),
    (80, 60): (),
    (120, 30): (),
    (120, 40): ("form-model",),
    (200, 40): ("form-model", "form-ends"),
    (200, 60): ("form-model", "form-ends"),
}
"""Pictures by size, while the settings under `more` are closed."""


async def test_where_there_is_room_all_settings_are_in_sight_and_pictures_of_the_planned_run(app: TrainApp, until: Any) -> None:
    async with app.run_test(size=(200, 60)) as pilot:
        form = screen_of(pilot).new_run.form
        assert form.opened, "from the start"
        form.query_one("#offers-length").focus()
        await settle(pilot)
        keys_shown = app.screen.query_one(KeyBar).render_line(0).text
        assert "←/→ change" in keys_shown
        assert "e type" in keys_shown
        await press(pilot, "e", *"90s", "escape")
        assert form.settings.length == "90s", "one that is not offered"
        assert not isinstance(app.focused, Input)

        def plan(**settings: str) -> None:
            form.fill(Settings(preset="micro", context="8", dropout="0", **settings))
            screen_of(pilot).new_run.plan_again()

        plan(layers="3", heads="2", width="32", lr="0.005")
        drawn = text_of(pilot, "#form-model")
        assert "3 attention" in drawn
        assert "4 attention" not in drawn
        assert "2 heads × 16: 4,224 parameters" in drawn
        assert drawn.endswith("up to 0.005")
        await until(pilot, lambda: "┃" in text_of(pilot, "#form-ends"))
        before, _, rest = text_of(pilot, "#form-ends").partition("┃ validation from here ┃")
        after, _, start = rest.partition("The text begins:\n")
        assert (before[:1], after.rstrip()[-1:]) == ("…", "…")
        text = Path("fable.txt").read_text()
        assert text.startswith(start[:200])
        assert before[1:] + after.rstrip()[:-1] in text
        plan(width="130")
        assert text_of(pilot, "#form-model") == "", "no such model can be"
        plan()
        assert "4 attention" in text_of(pilot, "#form-model")
        form.opened = False
        for size, names in IN_SIGHT.items():
            await resize(pilot, *size)
            shown = [name for name in ("form-model", "form-ends") if form.query_one(f"#{name}", Static).region.height > 3]
            assert tuple(shown) == names, size
            assert not names or form.max_scroll_y == 0, size


@pytest.mark.parametrize(("preset", "fits"), [("nano", True), ("micro", True), ("gpt2", False)])
def test_the_parts_are_those_of_the_model_and_the_curve_is_its_schedule(preset: str, fits: bool) -> None:
    request = RunRequest(text="stories", preset=preset, steps=100, schedule="wsd")
    run = resolve(request, TextSize("stories", bytes=3_000_000, tokens=700_000), machine())
    *lines, curve = model_picture(run).plain.splitlines()
    assert len(lines) <= LINES + 1
    heights = [EIGHTHS_UP.index(glyph) for glyph in curve.split()[2]]
    assert (len(heights), heights[CURVE // 2], heights[-1]) == (CURVE, 8, 1), "it stays at the top, and falls at the end"
    layers = PRESETS[preset].layers
    assert (f"{layers} mlp" in "\n".join(lines)) == fits, "far layers collapse"
    if fits:
        units = {"": 1.0, "k": 1e3, "M": 1e6}
        told = re.findall(r": ([\d.,]+)([kM]?) parameters", "\n".join(lines))
        found = sum(float(number.replace(",", "")) * units[unit] for number, unit in told)
        assert found == pytest.approx(parameter_count(run.model), rel=0.02), "each is rounded"
