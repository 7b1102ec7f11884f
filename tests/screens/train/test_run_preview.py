"""The pictures of a planned run beside its form: the model, the learning rate, the two ends of the text."""

import re
from typing import Any

import pytest

from lab.planning.settings_table import Settings
from lab.runs.run_schema import TrainConfig
from lab.training.run_length import lr_of_next_step
from lab.training.trainer_state import TrainerState
from models.config import PRESETS
from models.parameter_count import by_part
from screens.plot.line_plot import LinePlot
from screens.train.run_preview import ModelPicture, TextEnds, part_notes, schedule_figure
from tests.screens.pilot_waits import resize
from tests.screens.train.train_app import TrainApp, screen_of

pytestmark = pytest.mark.usefixtures("home", "fixed_machine")

IN_SIGHT = {
    (80, 24): (),
    (80, 60): (),
    (120, 30): (),
    (120, 40): ("form-model",),
    (200, 40): ("form-model", "form-schedule", "form-ends"),
    (200, 60): ("form-model", "form-schedule", "form-ends"),
}
"""Pictures by size, while the settings under `more` are closed."""


async def test_there_are_as_many_pictures_as_there_is_room_for_and_they_are_those_of_the_planned_run(
    app: TrainApp, until: Any
) -> None:
    async with app.run_test(size=(200, 60)) as pilot:
        form = screen_of(pilot).new_run.form
        form.fill(Settings(layers="3", heads="2", width="32", context="8", dropout="0", length="70"))
        screen_of(pilot).new_run.plan_again()
        model, schedule, ends = (form.query_one(kind) for kind in (ModelPicture, LinePlot, TextEnds))
        await until(pilot, lambda: ends.split is not None)
        drawn, text = model.text_to_copy(), ends.text_to_copy()
        assert "3 attention" in drawn
        assert "4 attention" not in drawn
        assert "2 heads × 16" in drawn
        assert schedule.figure is not None
        assert schedule.figure.series[0].xs[-1] == 70
        split = ends.split
        assert split is not None
        before, _, after = text.replace("\n", "").rpartition("┃")
        assert before.replace(" ", "").endswith(split.before[-20:].replace("\n", "␊").replace(" ", ""))
        assert split.after.replace("\n", "␊").startswith(after[:20])
        assert text.startswith(split.sample[0][0][:20])
        form.fill(Settings(context="8", width="130"))
        screen_of(pilot).new_run.plan_again()
        assert [model.visible, schedule.visible] == [False] * 2, "no such model can be"
        form.fill(Settings(context="8", dropout="0"))
        screen_of(pilot).new_run.plan_again()
        assert model.visible
        assert schedule.visible
        for opened, sizes in ((True, {(200, 60): IN_SIGHT[200, 60], (200, 40): ()}), (False, IN_SIGHT)):
            form.opened = opened
            for size, names in sizes.items():
                await resize(pilot, *size)
                shown = [str(each.id) for each in (model, schedule, ends) if each.display and each.region.height > 4]
                assert tuple(shown) == names, (size, opened)
                assert not names or form.max_scroll_y == 0, size
                assert not {model, schedule, ends} & set(pilot.app.screen.focus_chain)


@pytest.mark.parametrize("preset", PRESETS)
def test_the_parameters_beside_the_parts_are_all_of_the_models(preset: str) -> None:
    model = PRESETS[preset].config(5000)
    units = {"": 1.0, "k": 1e3, "M": 1e6}
    found = 0.0
    for (note,) in part_notes(model).values():
        number = re.match(r"([\d.,]+)([kM]?) parameters · ", note)
        assert number, note
        found += float(number[1].replace(",", "")) * units[number[2]]
    assert found == pytest.approx(sum(by_part(model).values()), rel=0.02)  # each is rounded


@pytest.mark.parametrize("train", [TrainConfig(steps=40), TrainConfig(steps=40, schedule="wsd", lr=0.01, warmup=0.2)])
def test_the_curve_is_the_learning_rate_of_each_step(train: TrainConfig) -> None:
    (line,) = schedule_figure(train).series
    rates = dict(zip([round(x, 6) for x in line.xs], line.ys, strict=True))
    for step in range(40):
        assert rates[step + 1] == pytest.approx(lr_of_next_step(train, TrainerState(precision="fp32"), step, 0.0, 1.0))
    minutes = schedule_figure(TrainConfig(steps=None, minutes=2.0))
    assert (minutes.x_label, minutes.series[0].xs[-1]) == ("minutes", 2.0)
