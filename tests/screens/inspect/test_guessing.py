"""Guesses in Inspect: the answer is nowhere on screen until a choice is made; then all is as before, and the score is told."""

from itertools import product
from pathlib import Path
from time import process_time

from msgspec import structs

from lab.lessons.guess_score import read_predictions
from lab.views.blocks import Array, HeadAttention, LensPath, TextGrid, Token, View
from screens.inspect.guessing import AnswersInSight, next_place
from screens.inspect.selection import Selection
from screens.widgets.guess_view import IN_SIGHT, GuessView
from tests.screens.inspect.conftest import FakeEngine, InspectPilot, Open
from tests.screens.pilot_waits import settle


def guess_of(pilot: InspectPilot) -> GuessView:
    return pilot.screen.query_one(GuessView)


async def test_nothing_shows_the_answer_until_a_choice_is_made_and_an_open_guess_follows_the_place_or_ends(
    inspect: Open, engine: FakeEngine, home: Path
) -> None:
    async with inspect() as pilot:
        screen = pilot.screen
        assert "fast 41" in pilot.text
        await pilot.press("inspect.guess")
        await pilot.until(lambda: guess_of(pilot).is_open)
        for size in ((120, 40), (80, 24)):
            await pilot.resize_terminal(*size)
            await settle(pilot)
            assert pilot.text.count("fast") == 1, "a choice, and nothing else"
            assert "%" not in pilot.text
            assert "shaded" not in pilot.text
            assert IN_SIGHT.split(":")[0] in " ".join(pilot.text.split()), "it was on screen a moment ago"
            assert not pilot.view.display

        await pilot.press("inspect.guess")
        await pilot.until(lambda: guess_of(pilot).is_open and "(1)?" in pilot.text)
        assert screen.selection.position == 0
        assert "%" not in pilot.text
        await pilot.press("d")
        assert guess_of(pilot).is_open, "no letter is a choice"
        await pilot.press("j", "enter")
        await pilot.until(lambda: guess_of(pilot).is_settled)
        await pilot.settle()
        assert "✓ Right. It is “ fast” with 60.0%." in " ".join(pilot.text.split())
        assert "head 1.1 attn █" in pilot.text, "the rest is in sight again"
        await pilot.press("enter")
        assert pilot.view.display
        assert not guess_of(pilot).display

        await pilot.go("l", "l", "l")
        await pilot.press("v", "v", "inspect.guess")
        await pilot.until(lambda: guess_of(pilot).is_open)
        assert "head 1.1 from ran (4)" in " ".join(pilot.text.split())
        await pilot.press("right_square_bracket")
        await pilot.until(lambda: guess_of(pilot).is_open and "head 1.2" in pilot.text)
        await pilot.press("left")
        await pilot.until(lambda: guess_of(pilot).is_open and "(3)?" in pilot.text)
        assert "%" not in pilot.text
        await pilot.go("escape")
        assert not guess_of(pilot).display
        assert pilot.view.display
        assert screen.selection.head == 1

        await pilot.press("inspect.guess")
        await pilot.until(lambda: guess_of(pilot).is_open)
        await pilot.go("inspect.lens_grid")
        assert screen.selection.stage == "lens"
        assert not guess_of(pilot).display

        engine.refuses["guess"] = "The run is gone."
        await pilot.press("inspect.guess")
        await pilot.until(lambda: "The run is gone." in pilot.text)
        assert not guess_of(pilot).display
    kept = read_predictions(home)[0]
    assert [(each.is_right, each.source, each.was_in_sight) for each in kept] == [(True, "Inspect", False)]
    assert engine.asked("guess")[0]["about"] == "next token"


FACTS = structs.replace(FakeEngine().open("tale", "best"), heads=2)


def path(*ids: int, position: int) -> LensPath:
    return LensPath([Token(id, str(id)) for id in ids], [], position, 0, [])


def test_an_answer_depends_on_no_later_token() -> None:
    seen = AnswersInSight()
    here = Selection("tale", position=1)
    seen.see_prediction(here, path(1, 2, 3, position=1), FACTS)
    assert seen.has(here, path(1, 2, 3, position=1), FACTS)
    assert seen.has(here, path(1, 2, 7, 8, position=1), FACTS), "the same beginning"
    assert not seen.has(here, path(4, 2, position=1), FACTS)
    assert not seen.has(Selection("tale", position=0), path(1, 2, position=0), FACTS)
    assert not seen.has(here, path(1, 2, position=1), structs.replace(FACTS, step=10)), "other weights"


def test_views_of_several_heads_or_positions_show_all_of_them() -> None:
    whole = path(1, 2, 3, position=2)
    for stage, same, others in (("scores", 1, 0), ("matrix", 2, 0), ("heads", 1, 1), ("thumbnails", 2, 1), ("mlp", 0, 0)):
        seen = AnswersInSight()
        seen.see_view(Selection("tale", stage=stage, position=2), whole, FACTS, View(stage, "", "", []))
        at = [seen.has(Selection("tale", stage="scores", position=position), whole, FACTS) for position in (2, 1)]
        assert sum(at) == same, stage
        assert seen.has(Selection("tale", stage="scores", position=2, head=1), whole, FACTS) is bool(others), stage
    for stage in ("lens", "tokens"):
        seen = AnswersInSight()
        for blocks, shown in (([], False), ([TextGrid("", [], [], [], _nothing(), [])], True)):
            seen.see_view(Selection("tale", stage=stage, position=2), whole, FACTS, View(stage, "", "", blocks))
            assert seen.has(Selection("tale", position=0), whole, FACTS) is shown, "a grid has the prediction at every token"
    seen.see_shading(Selection("tale"), whole, FACTS, HeadAttention(1, 0, 2, _nothing(), _nothing()))
    assert seen.has(Selection("tale", stage="values", layer=1, position=2), whole, FACTS)


def _nothing() -> Array:
    return Array((0,), b"")


def test_another_place_is_one_that_has_not_been_on_screen() -> None:
    whole, seen = path(1, 2, 3, position=2), AnswersInSight()
    last = Selection("tale")
    assert next_place(last, whole, FACTS, seen).position == 0
    seen.see_prediction(Selection("tale"), path(1, 2, 3, position=0), FACTS)
    assert next_place(last, whole, FACTS, seen).position == 1
    seen.see_prediction(Selection("tale"), path(1, 2, 3, position=1), FACTS)
    assert next_place(last, whole, FACTS, seen).position == 0, "all have been seen: the next one"
    alone = path(1, position=0)
    assert next_place(last, alone, FACTS, seen) == last
    heads = Selection("tale", stage="scores", layer=1, head=1)
    found = next_place(heads, whole, FACTS, seen)
    assert (found.layer, found.head, found.position) == (0, 0, None)
    found = next_place(Selection("tale", stage="scores", position=0), whole, FACTS, seen)
    assert found.position == 1, "from the first token there is nothing to guess"


def test_the_search_of_a_large_model_and_a_long_prompt_is_quick() -> None:
    """144 heads at 255 positions, all of which have been on screen: the keys wait for the search."""
    whole, here = path(*range(256), position=255), Selection("tale", stage="scores")
    facts, seen = structs.replace(FACTS, layers=12, heads=12, context=256), AnswersInSight()
    for layer, head in product(range(12), range(12)):
        seen.see_view(Selection("tale", stage="scores", layer=layer, head=head), whole, facts, View("matrix", "", "", []))
    start = process_time()
    assert next_place(here, whole, facts, seen).head == 1, "all have been seen: the next one"
    assert process_time() - start < 0.5
