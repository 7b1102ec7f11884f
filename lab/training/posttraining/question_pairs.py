"""Questions about the built-in text `stories`, each with the right animal and the answer that a demonstrator gave. No torch.

    Once there was a small cat named Rex. ... Then it met a white duck named Oscar. ...
    Q: Which animal is Oscar?
    A: duck

Each story has two animals of different kinds, so that knowing which animals there are is not enough: the name asked for has to be
looked up. No story is used twice, so that the held-out questions are about stories never seen.
"""

import random
import re
from collections.abc import Callable

import msgspec

from lab.core.errors import UserError
from lab.data.builtin_stories import ANIMALS, grammar

NAMED = re.compile(r"\ba \w+ (\w+) named (\w+)")
"""A character of a story: its kind and its name."""
END = "\n"
"""Ends an answer."""

LEAST_SHARE = 0.02
"""Share of the drawn questions that must fit the context; below it the context is called too short."""
TRIAL_DRAWS = 500
"""Questions drawn before that share is judged."""


class QuestionPair(msgspec.Struct, frozen=True):
    """A story, a question about it, and the answer shown to the model."""

    story: str
    name: str
    """The character asked about."""
    right: str
    """Its animal."""
    answer: str
    """The demonstrator's answer: the right animal, or both animals of the story in the share of hedged answers."""

    @property
    def question(self) -> str:
        return f"Which animal is {self.name}?"

    @property
    def prompt(self) -> str:
        """The text that the model is given."""
        return f"{self.story}\nQ: {self.question}\nA:"

    @property
    def target(self) -> str:
        """The text that it should write."""
        return f" {self.answer}{END}"


class PairSource:
    """Draws questions in an order that the seed alone decides. What one call has drawn no later call draws again."""

    def __init__(self, seed: int, fits: Callable[[QuestionPair], bool]) -> None:
        """`fits` says if a question has room in the model's context."""
        self._source = random.Random(seed)
        self._fits = fits
        self._stories: set[str] = set()
        self._drawn = self._kept = 0

    def draw(self, count: int, hedged: float = 0.0) -> list[QuestionPair]:
        """So many questions, a share `hedged` of them with both animals as the answer.

        Raises:
            UserError: if hardly any question fits the context.
        """
        found: list[QuestionPair] = []
        while len(found) < count:
            pair = self._one(hedged)
            self._drawn += 1
            if self._fits(pair):
                self._kept += 1
                found.append(pair)
            elif self._drawn >= TRIAL_DRAWS and self._kept < LEAST_SHARE * self._drawn:
                raise UserError(
                    "The context of this run is too short for a story with a question and an answer; choose a run with a longer "
                    "context, such as demo."
                )
        return found

    def _one(self, hedged: float) -> QuestionPair:
        while True:
            story = grammar().draw(self._source).strip()
            characters = NAMED.findall(story)
            kinds = [kind for kind, _ in characters]
            if len(set(kinds)) == 2 == len(kinds) and set(kinds) <= {*ANIMALS} and story not in self._stories:
                break
        self._stories.add(story)
        asked = int(self._source.random() < 0.5)
        kind, name = characters[asked]
        both = self._source.random() < hedged
        return QuestionPair(story, name, kind, f"{kind} and {kinds[1 - asked]}" if both else kind)


def draw_stories(count: int, seed: int) -> list[str]:
    """Ordinary stories of the grammar, to measure what fine-tuning forgets."""
    source = random.Random(seed)
    return [grammar().draw(source) for _ in range(count)]
