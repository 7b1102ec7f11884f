"""Questions and their answers, against the grammar; the reward and the measures beside it, in closed cases."""

import re

import pytest

from lab.core.errors import UserError
from lab.data.builtin_stories import ANIMALS
from lab.runs.find_runs import open_run
from lab.runs.run_folder import tokenizer_of
from lab.training.posttraining import answers
from lab.training.posttraining.question_pairs import PairSource, draw_stories


def source(seed: int = 1) -> PairSource:
    return PairSource(seed, lambda pair: True)


def test_either_character_is_asked_about_and_the_right_animal_is_the_one_that_the_story_gives_the_name() -> None:
    pairs = source().draw(300)
    for pair in pairs:
        kinds = [animal for animal in ANIMALS if re.search(rf"\b{animal} named {pair.name}\b", pair.story)]
        assert kinds == [pair.right]
        assert pair.answer == pair.right
        assert pair.prompt == f"{pair.story}\nQ: Which animal is {pair.name}?\nA:"
        assert pair.target == f" {pair.right}\n"
        named = set(re.findall(r"(\w+) named", pair.story))
        assert len(named) == 2, "of different kinds"
        assert named <= set(ANIMALS)
    asked_last = sum(pair.story.index(f"named {pair.name}") > pair.story.index("named ") for pair in pairs)
    assert 100 < asked_last < 200
    assert not [(a, b) for a in ANIMALS for b in ANIMALS if a != b and a in b], "no animal is part of another one's name"


def test_no_story_is_drawn_twice_and_the_seed_decides() -> None:
    drawn = source()
    pairs = drawn.draw(200) + drawn.draw(200, hedged=0.5) + drawn.draw(200)
    assert len({pair.story for pair in pairs}) == 600
    again = source()
    assert again.draw(200) + again.draw(200, hedged=0.5) + again.draw(200) == pairs
    assert source(2).draw(200) != pairs[:200]


def test_a_hedged_answer_names_both_animals_the_right_one_first() -> None:
    pairs = source().draw(1000, hedged=0.1)
    hedged = [pair for pair in pairs if pair.answer != pair.right]
    assert 60 < len(hedged) < 140
    for pair in hedged:
        first, _, second = pair.answer.partition(" and ")
        assert first == pair.right
        assert f"{second} named" in pair.story


def test_every_character_of_a_question_survives_the_demo_tokenizer() -> None:
    tokenizer = tokenizer_of(open_run("demo"))
    for pair in source().draw(50, hedged=0.5):
        assert tokenizer.decode(tokenizer.encode(pair.prompt) + tokenizer.encode(pair.target)) == pair.prompt + pair.target


def test_a_context_that_no_question_fits_is_refused_in_words() -> None:
    with pytest.raises(UserError, match="context"):
        PairSource(1, lambda pair: False).draw(1)


def test_stories_are_those_of_the_grammar() -> None:
    stories = draw_stories(5, seed=3)
    assert stories == draw_stories(5, seed=3)
    assert all(story.endswith(".\n\n") for story in stories)


@pytest.mark.parametrize(
    ("answer", "rewarded", "exact", "well_formed", "named"),
    [
        (" dog\n", 1.0, True, True, ["dog"]),
        (" cat\n", 0.0, False, True, ["cat"]),
        (" cat and dog\n", 1.0, False, False, ["dog", "cat"]),
        (" dog dog dog", 1.0, False, False, ["dog"]),
        (" dog", 1.0, False, False, ["dog"]),
        ("", 0.0, False, False, []),
        (" The dog", 1.0, False, False, ["dog"]),
    ],
)
def test_reward_and_measures(answer: str, rewarded: float, exact: bool, well_formed: bool, named: list[str]) -> None:
    assert answers.reward(answer, "dog") == rewarded
    assert answers.is_exact(answer, "dog") == exact
    assert answers.is_well_formed(answer) == well_formed
    assert answers.animals_named(answer) == named
