"""Live widgets that compute: three weights, one training step, an experiment with choices, drawings; on a tiny run."""

from pathlib import Path

import msgspec
import pytest

from lab.core.errors import UserError
from lab.core.number_format import whole
from lab.lessons.lesson import Live, parse_lesson
from lab.runs.run_schema import ValidationSegments
from lab.views.blocks import Table, View
from screens.app import LabApp
from screens.blocks.block_view import BlockView
from screens.learn.learn_page import LearnEngine
from screens.learn.lesson_reader import LIVE_WIDGETS, LessonText, live_widget
from screens.learn.live.draw_widgets import DrawWidget
from screens.learn.live.live_widget import ModelAtHand, NumberInput, in_figures
from screens.widgets.status_line import StatusLine
from tests.fixture_types import Until
from tests.lab.engine.conftest import MakeRun, TinyRun, _one_thread, make_run
from tests.models.oracle import Oracle
from tests.screens.in_process_engine import InProcessEngine
from tests.screens.learn.conftest import hold, learn_app, lessons_page

__all__ = ["_one_thread", "make_run"]


LESSON = """# Live

```live three-weights
show: steps
```

## One step

```live one-step
stage: after
```

## Choices

```live experiment
name: parameter_parts
choices: size = your model, GPT-2
opens: train
```

## Curve

```live draw-loss
```

## Row

```live draw-attention
layer: 9
head: 2
prompt: The big dog ran
```
"""


TYPED = "# Typed\n\n```live experiment\nname: encode_and_decode\ntyped: text = ab\n```\n"
SEGMENTS = ValidationSegments(((50, 65),), 60, "")


@pytest.fixture
def tiny(home: Path, make_run: MakeRun) -> TinyRun:
    return make_run("tiny")


@pytest.fixture
def app(tiny: TinyRun, monkeypatch: pytest.MonkeyPatch) -> LabApp:
    tiny.run.metrics_path.write_text(
        "".join(f'{{"step":{at},"tokens":{at},"epoch":0.1,"seconds":1.0,"val_loss":{5 - at}}}\n' for at in range(4))
    )
    data = msgspec.structs.replace(tiny.run.config.data, tokens=100, split=50, val_bytes=200, evaluated=SEGMENTS)
    (tiny.run.path / "config.json").write_bytes(msgspec.json.encode(msgspec.structs.replace(tiny.run.config, data=data)))
    lessons = [parse_lesson(Path("01-live.md"), LESSON), parse_lesson(Path("02-typed.md"), TYPED)]
    monkeypatch.setattr("screens.learn.lessons_page.lessons_and_problems", lambda: (lessons, []))
    return learn_app(InProcessEngine, run="tiny")


async def test_each_computes_and_answers_its_keys(app: LabApp, tiny: TinyRun, until: Until) -> None:
    async with app.run_test(size=(80, 24)) as pilot:
        page = await lessons_page(pilot, until)
        await pilot.press("enter")

        def view() -> View:
            found = pilot.app.screen.query_one("#lesson-live BlockView", BlockView).view
            assert found is not None
            return found

        def cell(row: int, column: int) -> float:
            table = view().blocks[0]
            assert isinstance(table, Table)
            value = (table.rows[row] if row >= 0 else table.total or [])[column].value
            assert value is not None
            return value

        await until(pilot, lambda: pilot.app.screen.query(NumberInput))
        before, foreseen = cell(-1, 1), cell(-1, 3)
        await pilot.press("enter")
        assert cell(-1, 1) == foreseen < before
        assert view().title == "1 step taken"
        await hold(pilot, "asterisk", "u")
        assert view().title == "100 steps taken"
        await pilot.press("shift+tab", "5", "up")
        rate = pilot.app.screen.query_one("#weights-rate", NumberInput)
        assert rate.number == pytest.approx(5.1)
        assert view().title == "100 steps taken", "another rate goes on from here"
        pilot.app.screen.query_one("#weights-w3", NumberInput).focus()
        await pilot.press("x")
        assert view().title == "100 steps taken", "a letter is refused"
        await pilot.press("9", "9")
        assert "between −10 and 10, not '99'" in view().blocks[0].text  # type: ignore[union-attr]
        await pilot.press("ctrl+u", "0", "escape")
        assert pilot.app.focused is page.reader.query_one(BlockView), "escape leaves the fields"
        assert view().title == "no step taken yet"
        assert cell(0, 1) == cell(0, 3), "with w₃ = 0 the derivative by w₁ is 0"

        field = pilot.app.screen.query_one("#weights-w3", NumberInput)
        field.write(-0.294117)
        field.focus()
        await pilot.press("up")
        assert field.render_line(0).text.strip() == "-0.1941", "with its sign"
        await pilot.press("escape")

        await pilot.press("space")
        await until(pilot, lambda: page.reader.step == 1 and page.reader.is_settled)
        status = pilot.app.screen.query_one("#lesson-status", StatusLine)
        assert "Step 1 is taken" in view().sentence
        assert "(1 step taken)" in status.left
        await pilot.press("u")
        assert "(1 step taken)" in status.left, "there is no after before the first step"
        await pilot.press("enter")
        await until(pilot, lambda: "(2 steps taken)" in status.left)

        await pilot.press("space")
        await until(pilot, lambda: page.reader.step == 2 and page.reader.is_settled)
        assert view().title == "parameters of tiny"
        live = page.reader.live
        assert live is not None
        step = view().step
        assert step is not None
        assert page.reader.query_one(LessonText).model == f"tiny, step {whole(step)}"
        live.show_model(ModelAtHand("tiny", "a"))
        assert live.weights_step is None, "until the answer has come"
        await until(pilot, lambda: live.is_settled)
        assert live.weights_step == step
        await pilot.press("v")
        await until(pilot, lambda: view().title == "parameters of GPT-2")
        assert page.reader.check_action("open", ())

        await pilot.press("space")
        await until(pilot, lambda: page.reader.step == 3 and page.reader.is_settled)
        curve = pilot.app.screen.query_one(DrawWidget)
        assert "validation loss (on 30%) by step" in str(curve.view.border_title)

        def lines(of: DrawWidget) -> list[str]:
            return [of.view.draw(line).text.rstrip() for line in range(of.view.extent[0])]

        assert lines(curve)[-3].split() == ["0", "1", "2", "3"]
        assert lines(curve)[-2:] == ["5.00        5.00        5.00        5.00", "5.00"], "the first alone is told"
        assert not any("▒" in line[12:] for line in lines(curve)), "nothing of the others is shown"
        assert page.reader.check_action("open", ()) is False
        await hold(pilot, *["down"] * 5, "right", "right", *["down"] * 5)  # 4, 4 and 3: each column takes those after it along
        assert "draw from left to right" in status.left
        await pilot.press("enter")
        await until(pilot, lambda: "You are off by 0.67 nats on average; a straight line" in status.left)
        assert "by 0.00." in status.left
        assert lines(curve)[-2:] == ["5.00        4.00        4.00        3.00", "5.00        4.00        3.00        2.00"]
        assert page.reader.check_action("open", ())
        await pilot.press("up")
        assert lines(curve)[-2].startswith("5.00        4.00        4.00"), "nothing is drawn after the truth"

        await pilot.press("space")
        await until(pilot, lambda: page.reader.step == 4 and page.reader.is_settled)
        row = pilot.app.screen.query_one(DrawWidget)
        assert row.drawing is not None
        ids = tiny.tokenizer.encode("The big dog ran")
        assert [label.strip() for label in row.drawing.labels] == [tiny.tokenizer.label(id_).strip() for id_ in ids]
        model = tiny.model
        oracle = Oracle(model.state_dict(), model.config, ids)
        pattern = oracle.values[f"blocks.{model.config.layers - 1}.attn.pattern"][1, -1].tolist()
        await pilot.press("enter")
        assert not row.drawing.is_revealed, "nothing is drawn"
        await hold(pilot, "up", "up", "right", "up", *["down"] * 3, "up")  # 10% and 5%
        assert "85% are left to give away" in status.left
        await pilot.press("enter")
        drawn = [2 / 3, 1 / 3, *[0.0] * (len(ids) - 2)]
        near = sum(abs(mine - share) for mine, share in zip(drawn, pattern, strict=True)) / 2
        await until(pilot, lambda: f"(total variation distance {near:.2f})" in status.left)
        even = sum(abs(1 / len(ids) - share) for share in pattern) / 2
        assert f"for an even row it would be {100 * even:.0f}%." in status.left


async def test_where_what_is_typed_is_refused_no_older_figures_stand_under_it(app: LabApp, until: Until) -> None:
    async with app.run_test(size=(80, 24)) as pilot:
        page = await lessons_page(pilot, until)
        await pilot.press("down", "enter")
        await until(pilot, lambda: page.reader.is_settled and page.reader.query(BlockView))
        view = page.reader.query_one(BlockView)
        assert view.extent[0]
        await pilot.press("e", "ctrl+u")
        status = pilot.app.screen.query_one("#lesson-status", StatusLine)
        await until(pilot, lambda: "The text to encode is empty" in status.left)
        assert (view.view, view.extent[0], str(view.border_title)) == (None, 0, "")
        await pilot.press("c")
        await until(pilot, lambda: view.view is not None and "“c”" in view.view.sentence + str(view.view.blocks))


@pytest.mark.parametrize(("number", "text"), [(-0.29414, "-0.2941"), (0.00001, "0.00001"), (1234567.0, "1235000"), (-0.0, "0")])
def test_a_number_is_written_without_an_exponent(number: float, text: str) -> None:
    assert in_figures(number) == text


@pytest.mark.parametrize(
    ("live", "problem"),
    [
        (Live("three-weights", {"show": "sideways"}), "The option show of three-weights is one of forward"),
        (Live("one-step", {"stage": "nowhere"}), "There is no stage of a step called nowhere"),
        (Live("experiment", {}), "needs the option name"),
        (Live("experiment", {"name": "vocabulary", "moves": "up"}), "moves of a live widget names position, head, layer"),
        (Live("experiment", {"name": "vocabulary", "choices": "size"}), "is as in size = small, large, not 'size'"),
        (Live("experiment", {"name": "vocabulary", "opens": "moon"}), "names a mode or a stage of Inspect, not 'moon'"),
        (Live("draw-loss", {"stage": "after"}), "has no option stage"),
    ],
)
def test_an_option_that_a_widget_does_not_have_is_refused_in_one_sentence(live: Live, problem: str) -> None:
    assert live.widget in LIVE_WIDGETS
    with pytest.raises(UserError, match=problem):
        live_widget(live, LearnEngine(InProcessEngine()))
