"""The forward pass: which parts of the drawing stand where, how thick, and what collapses; the logit lens in the list."""

from dataclasses import replace

import pytest
from rich.cells import cell_len

from lab.inspect.stages.stage_registry import stage_entries
from lab.views.blocks import Prediction
from screens.colour import Heat, heat
from screens.widgets.forward_pass_layout import Drawing, ModelPart, drawing_of, fits, parts_of
from screens.widgets.forward_pass_list import lens_text, rows_of

NARROW, WIDE = (28, 25), (44, 45)
NOTES = ("ran 97%    rank 123", "ran 97%")


def model(layers: int, *, changed: frozenset[str] = frozenset()) -> list[ModelPart]:
    """Parts of a model whose n-th box adds n and leaves a stream of 2n."""
    parts: list[ModelPart] = []
    count = 0
    for part in parts_of(stage_entries(layers), changed=changed):
        if part.layer is not None:
            count += 1
            part = replace(part, magnitude=float(count), stream=2.0 * count, notes=NOTES)
        parts.append(part)
    return parts


def texts(drawing: Drawing) -> list[str]:
    return ["".join(text for text, _ in line.pieces) for line in drawing.lines]


@pytest.mark.parametrize("layers", [1, 4, 12])
@pytest.mark.parametrize("room", [NARROW, WIDE, (28, 20), (35, 30)])
def test_at_every_stage_the_current_one_is_in_a_drawing_that_fits(layers: int, room: tuple[int, int]) -> None:
    parts = model(layers)
    names = {step: title for part in parts for step, title in zip(part.steps, part.titles, strict=True)}
    for step in names:
        drawing = drawing_of(parts, step, *room)
        assert len(drawing.lines) <= max(room[1], 21)
        assert max(cell_len(text) for text in texts(drawing)) <= room[0]
        here = drawing.lines[drawing.current]
        assert here.step == step
        assert here.pieces[0] == ("▸", "current")
        part = next(part for part in parts if step in part.steps)
        if len(part.steps) > 1:
            assert names[step][:8] in texts(drawing)[drawing.current]


def test_every_line_of_a_box_leads_to_its_first_stage_and_stages_to_themselves() -> None:
    parts = model(2)
    attention, mlp = parts[2], parts[3]
    closed = drawing_of(parts, 0, *WIDE)
    assert [line.step for line in closed.lines].count(attention.steps[0]) == 3
    opened = drawing_of(parts, attention.steps[2], *WIDE)
    led = [line.step for line in opened.lines]
    assert set(attention.steps) <= set(led)
    assert led.count(mlp.steps[0]) == 3


def test_boxes_have_the_same_height_whichever_is_open() -> None:
    parts = model(4)
    attention = [part.steps[0] for part in parts if part.name.endswith("attention")]
    for height, lines in ((45, 3), (36, 2), (25, 1)):
        assert {len(drawing_of(parts, step, 44, height).lines) for step in attention} == {6 + 12 + 7 * lines}


def test_rail_and_branches_are_as_thick_as_their_numbers() -> None:
    """16 widths of the rail to the largest stream, 6 of a branch to the largest magnitude."""
    parts = model(4)
    lines = [text for text in texts(drawing_of(parts, 0, *NARROW)) if "attn" in text or "mlp" in text]
    assert [line[1:5] for line in lines[::2]] == ["▎▁▁▁", "▊▂▂▂", "█▎▄▄", "█▊▅▅"]
    assert lines[-1][1:5] == "██▆▆"


@pytest.mark.parametrize(
    ("layers", "step", "room", "words", "legend"),
    [
        (4, 0, WIDE, "1.00 norm added", "stream norm up to 16.0"),
        (4, 5, WIDE, "norm added 1.00", "stream norm up to 16.0"),
        (2, 0, (28, 25), "1.00 added", "stream norm up to 8.00"),
        (12, 0, WIDE, "", "norm added up to 24.0"),
    ],
)
def test_the_numbers_beside_the_boxes_say_once_what_they_are(
    layers: int, step: int, room: tuple[int, int], words: str, legend: str
) -> None:
    drawing = drawing_of(model(layers), step, *room)
    said = [text for text in texts(drawing) if "added" in text]
    assert [words in text for text in said] == ([True] if words else [])
    assert drawing.legend == legend


def test_a_name_stands_on_the_shade_of_its_magnitude() -> None:
    drawing = drawing_of(model(4), 0, *NARROW)
    shades = [kind for line in drawing.lines for _, kind in line.pieces if isinstance(kind, Heat)]
    assert shades == [heat("sequential", n / 8) for n in range(1, 9)]


def test_a_part_that_adds_nothing_is_dotted_and_a_changed_one_is_marked() -> None:
    parts = [
        replace(part, magnitude=0.0) if part.name == "1 attention" else part
        for part in model(2, changed=frozenset({"1 attention"}))
    ]
    line = next(text for text in texts(drawing_of(parts, 0, 28, 20)) if "1 attn" in text)
    assert "┄┄" in line
    assert "1 attn ✗" in line


def test_layers_far_from_the_current_one_collapse_with_a_bar_for_each_part() -> None:
    parts = model(12)
    for layer in range(12):
        box = next(part for part in parts if part.layer == layer)
        shown = texts(drawing_of(parts, box.steps[0], *NARROW))
        assert any(f"{layer + 1} attn ─" in text for text in shown), shown
        ranges = [text for text in shown if "┊" in text]
        assert 1 <= len(ranges) <= 2
    first = texts(drawing_of(parts, 0, *NARROW))
    assert any(text.rstrip().endswith("┊ layers 10–12 ▆▇▇▇██") for text in first), first
    assert not any("┊" in text for text in texts(drawing_of(parts, 0, 44, 45)))


def test_without_numbers_the_model_is_drawn_with_a_thin_line() -> None:
    parts = parts_of(stage_entries(2))
    drawing = drawing_of(parts, parts[2].steps[0], *NARROW)
    assert drawing.legend == ""
    assert not any(isinstance(kind, Heat) for line in drawing.lines for _, kind in line.pieces)
    assert "│───╰" in "".join(texts(drawing))


def test_a_backward_drawing_turns_the_arrows() -> None:
    forward, backward = (texts(drawing_of(model(2), 6, *WIDE, backward=turned)) for turned in (False, True))
    assert [line.replace("─▸", "─◂").replace(" norm added", "─" * 11) for line in forward] == backward != forward


@pytest.mark.parametrize(("room", "drawn"), [((21, 15), False), ((28, 14), False), ((28, 18), True), ((44, 40), True)])
def test_a_drawing_needs_room(room: tuple[int, int], drawn: bool) -> None:
    assert fits(*room) is drawn


def test_a_place_on_the_rail_lists_its_stages_while_one_of_them_is_current() -> None:
    parts = model(2)
    embed = parts[1]
    shown = drawing_of(parts, embed.steps[1], *WIDE)
    assert [line.step for line in shown.lines[1 : 2 + len(embed.steps)]] == [embed.steps[0], *embed.steps]
    assert f" ▸ {embed.titles[1]}" in texts(shown)[shown.current]


def lens_texts(label: str, probability: float, room: int) -> str:
    found = stage_entries(2)
    for step in found:
        if step.stage in ("resid_mid", "logits"):
            step.lens, step.rank = Prediction(5, label, probability), 12
    row = next(row for row in rows_of(found, 0) if row.name == "2 attention")
    return lens_text(row, room)


@pytest.mark.parametrize(
    ("label", "probability", "room", "expected"),
    [
        (" ran", 0.97, 10, "ran 97%"),
        (" there", 0.9999, 10, "there >99%"),
        (" butterfly", 0.31, 10, "butte… 31%"),
        (" butterfly", 0.31, 24, "butterfly 31% rank 12"),
    ],
)
def test_a_long_token_is_cut_with_a_mark_and_keeps_its_probability(
    label: str, probability: float, room: int, expected: str
) -> None:
    assert lens_texts(label, probability, room) == expected


def test_the_rail_is_as_wide_as_the_stream_after_the_step_that_adds_to_it() -> None:
    found = stage_entries(2)
    for number, step in enumerate(each for each in found if each.stage in ("embed", "resid_mid", "resid_post")):
        step.lens, step.stream = Prediction(5, "a", 0.5), float(number + 1)
    second = next(index for index, step in enumerate(found) if step.group == "1 MLP" or step.group == "1 mlp")
    rows = {row.name: row.stream for row in rows_of(found, second) if not row.is_group}
    before, after = 2.0, 3.0
    assert rows.pop("residual add") == after
    assert set(rows.values()) == {before}
