"""The built-in text `stories`: short stories from a grammar, whose true entropy is known.

Each story is derived in one way only (no alternative's text begins with another's), and the stories are drawn independently,
so that the entropy of the choices is the entropy of the text: no model can do better than `entropy_bits_per_byte()`, and one
that has learned everything does as well, but for the stories whose beginning its context has lost.

What there is to learn, from easy to hard: the words; which word follows which; that a mouse is small and a bear is big; that
the girl is "she"; how a day of running ends; and the names, which are drawn afresh for each story, so that they can only be
looked up in the text.
"""

import random
from collections.abc import Iterator
from functools import cache

from lab.data.story_grammar import Grammar, Tables, grammar_lines

DEFAULT_SIZE = 1_000_000
SEED = 20
PART_BYTES = 1 << 16
"""Bytes that are generated at a time."""

GIRLS = ("girl", "queen")
BOYS = ("boy", "king")
ANIMALS = ("dog", "cat", "fox", "bear", "bird", "frog", "mouse", "horse", "rabbit", "duck")


def _by_kind(girls: str, boys: str, animals: str) -> dict[str, dict[str, float]]:
    """A row for each hero, with the words of its kind at equal weights."""
    kinds = ((GIRLS, girls), (BOYS, boys), (ANIMALS, animals))
    return {hero: dict.fromkeys(words.split(), 1.0) for heroes, words in kinds for hero in heroes}


TABLES: Tables = {
    "story": {"{opening} {deed} {next}\n\n": 1},
    "opening": {
        "Once there was a {look=look} {hero=hero:look} named {name=name:hero}.": 3,
        "One day a {look=look} {hero=hero:look} named {name=name:hero} woke up early.": 1,
    },
    "deed": {
        "The {$look} {$hero} {verb=verb:hero} {how:verb}.": 4,
        "In the morning the {$look} {$hero} {verb=verb:hero} {how:verb}.": 2,
        "{She:hero} {verb=verb:hero} {how:verb}.": 3,
        "{$name} {verb=verb:hero} {how:verb}.": 2,
    },
    "next": {"{finding} {use}{rest}": 2, "{deed} {finding} {use}{rest}": 1},
    "finding": {
        "{She:hero} saw a {colour=colour} {thing=thing:colour} {where}.": 3,
        "Soon {she:hero} found a {colour=colour} {thing=thing:colour} {where}.": 2,
        "There was a {colour=colour} {thing=thing:colour} {where}.": 1,
    },
    "use": {
        "{$name} {did:thing} the {$colour} {$thing}.": 3,
        '"What a nice {$thing}!" said {$name}.': 2,
        '"I like this {$colour} {$thing}," said the {$hero}.': 1,
    },
    "rest": {
        " Then {she:hero} met a {look2=look} {friend=hero:look2} named {other=other:friend}. {talk} {together}": 3,
        " {alone}": 2,
    },
    "talk": {
        '"Hello, {$name}!" said {$other}.': 3,
        '"Is that your {$thing}?" asked {$other}.': 2,
        "The {$friend} wanted the {$thing} too.": 1,
    },
    "together": {
        "{$name} and {$other} {played}.": 3,
        "They {played}.": 1,
        "The {$hero} and the {$friend} became good friends.": 2,
    },
    "played": {
        "played with the {$colour} {$thing}": 3,
        "walked home": 2,
        "sang a song": 2,
        "sat by the fire": 2,
        "laughed": 1,
    },
    "alone": {
        "In the evening {$name} was {mood:verb}.": 3,
        "At night the {$hero} dreamed of the {$colour} {$thing}.": 2,
        "At last {she:hero} went home, {mood:verb} but {mood2}.": 1,
    },
    "look": {"big": 4, "small": 4, "brown": 2, "white": 2, "young": 3, "brave": 2, "sleepy": 2, "clever": 2},
    "hero": {
        "big": {"dog": 5, "bear": 5, "horse": 3, "cat": 1, "frog": 1},
        "small": {"mouse": 5, "bird": 4, "frog": 3, "cat": 2, "rabbit": 2, "dog": 1},
        "brown": {"dog": 4, "bear": 3, "horse": 3, "rabbit": 2, "mouse": 1},
        "white": {"cat": 4, "horse": 3, "duck": 3, "rabbit": 2},
        "young": {"girl": 4, "boy": 4, "queen": 1, "king": 1, "fox": 1},
        "brave": {"girl": 3, "boy": 3, "king": 2, "queen": 2, "dog": 1},
        "sleepy": {"cat": 4, "bear": 3, "boy": 1, "girl": 1, "king": 1},
        "clever": {"fox": 5, "girl": 2, "boy": 2, "mouse": 2, "queen": 1},
    },
    "name": _by_kind(
        "Anna Clara Ella Julia Lily Mia Rose Zoe",
        "Adam Ben David Finn Jack Max Sam Tom",
        "Bella Coco Felix Luna Nemo Rex Rusty Ziggy",
    ),
    "other": _by_kind(
        "Alma Dora Eva Fanny Greta Hanna Kate Nina",
        "Bob Emil Frank George Karl Leo Paul Will",
        "Blue Charlie Daisy Hugo Milo Oscar Poppy Toby",
    ),
    "She": _by_kind("She", "He", "It"),
    "she": _by_kind("she", "he", "it"),
    "verb": {
        "dog": {"ran": 5, "jumped": 3, "barked": 3, "slept": 1},
        "cat": {"slept": 4, "jumped": 3, "ran": 2, "hid": 1},
        "fox": {"ran": 4, "hid": 3, "jumped": 2},
        "bear": {"walked": 4, "slept": 3, "swam": 2},
        "bird": {"flew": 5, "sang": 4},
        "frog": {"hopped": 5, "swam": 3, "slept": 1},
        "mouse": {"hid": 4, "ran": 3, "slept": 1},
        "horse": {"ran": 5, "jumped": 3, "walked": 1},
        "rabbit": {"hopped": 5, "ran": 2, "hid": 2},
        "duck": {"swam": 5, "flew": 2, "walked": 1},
        "girl": {"ran": 3, "sang": 3, "danced": 2, "walked": 1},
        "boy": {"ran": 4, "jumped": 2, "walked": 2, "sang": 1},
        "queen": {"danced": 3, "sang": 3, "walked": 2},
        "king": {"walked": 3, "slept": 2, "sang": 2},
    },
    "how": {
        "ran": {"fast": 5, "home": 2, "up the hill": 2, "away": 1},
        "jumped": {"high": 4, "over the fence": 3, "up and down": 2},
        "barked": {"loudly": 4, "at the moon": 2, "all day": 1},
        "slept": {"under a tree": 3, "all day": 3, "well": 2},
        "hid": {"behind a tree": 3, "in the grass": 3, "under a leaf": 2},
        "walked": {"slowly": 4, "to the river": 3, "in the rain": 2},
        "swam": {"in the river": 4, "across the lake": 3, "fast": 1},
        "flew": {"high": 3, "over the lake": 3, "away": 2},
        "sang": {"softly": 3, "loudly": 3, "in the rain": 1},
        "danced": {"all day": 3, "in the rain": 2, "slowly": 1},
        "hopped": {"in the grass": 4, "over a stone": 3, "high": 1},
    },
    "mood": {
        "ran": {"tired": 5, "hungry": 2},
        "jumped": {"tired": 3, "happy": 3},
        "barked": {"hungry": 3, "tired": 1},
        "slept": {"happy": 3, "hungry": 3},
        "hid": {"cold": 4, "hungry": 1},
        "walked": {"tired": 3, "hungry": 3},
        "swam": {"cold": 4, "tired": 3},
        "flew": {"tired": 4, "cold": 1},
        "sang": {"happy": 5, "tired": 1},
        "danced": {"happy": 4, "tired": 3},
        "hopped": {"tired": 3, "happy": 3},
    },
    "mood2": {"proud": 2, "glad": 1},
    "colour": {"red": 4, "blue": 3, "green": 2, "yellow": 2, "golden": 2},
    "thing": {
        "red": {"ball": 4, "apple": 4, "hat": 2, "flower": 1},
        "blue": {"boat": 4, "kite": 3, "hat": 2, "flower": 2},
        "green": {"apple": 4, "boat": 2, "hat": 2},
        "yellow": {"flower": 4, "kite": 3, "ball": 2},
        "golden": {"key": 5, "ring": 4, "ball": 1},
    },
    "where": {"by the river": 3, "in the garden": 3, "under a tree": 2, "near the house": 2, "on the road": 2, "by the sea": 1},
    "did": {
        "ball": {"kicked": 4, "threw": 2, "rolled": 1},
        "apple": {"ate": 5, "washed": 2},
        "hat": {"put on": 5, "took": 2},
        "flower": {"picked": 4, "smelled": 3},
        "boat": {"pushed": 3, "painted": 2},
        "kite": {"flew": 5, "took": 1},
        "key": {"took": 4, "hid": 2},
        "ring": {"took": 3, "cleaned": 2, "hid": 1},
    },
}  # fmt: skip
"""Alternatives and their weights, in the notation of `lab.data.story_grammar`. Names come from two lists, so that a friend
is never the hero's namesake."""


@cache
def grammar() -> Grammar:
    return Grammar(TABLES)


@cache
def grammar_text() -> str:
    """The rules of the grammar with their probabilities and bits, computed once: it takes about 0.1 s."""
    return "\n".join(grammar_lines(grammar()))


def generate(size: int = DEFAULT_SIZE, seed: int = SEED) -> Iterator[str]:
    """Generate at least `size` bytes of whole stories, in parts, all of it ASCII.

    The same size and seed give the same text with every version of Python.
    """
    source = random.Random(seed)
    done = 0
    while done < size:
        part = ""
        while len(part) < min(PART_BYTES, size - done):
            part += grammar().draw(source)
        done += len(part)
        yield part


@cache
def default_parts() -> tuple[str, ...]:
    """The text of the default size in parts, kept in memory: to be looked at, split and counted it is read several times."""
    return tuple(generate())


@cache
def entropy_bits_per_byte() -> float:
    """Entropy of the text in bits per byte: that of one story over its expected length. Exact but for rounding."""
    story = grammar().expected()
    return story.bits / story.bytes
