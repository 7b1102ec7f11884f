"""Study of hallucination: a model is asked where people live whom its text says nothing about, and is taught to say so.

The text tells of some people where they live, often or seldom, of others only what they eat, and of the rest nothing. Each has a
home all the same, by which answers are judged. The cure is that of Llama 3 (Grattafiori et al. 2024, "The Llama 3 Herd of
Models", section 4.3.6) and R-Tuning (Zhang et al. 2024): ask the model several times, and teach it "I don't know" for those
alone whom it got wrong.
"""

import copy
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import NamedTuple

import torch

from lab.studies.study_job import Record
from lab.training.posttraining.answers import Example
from lab.training.posttraining.sft_and_rl import train
from models.config import ModelConfig
from models.gpt import GPT

TOWNS = ("Oslo", "Rome", "Cairo", "Lima", "Paris", "Quito", "Delhi", "Accra", "Turin", "Kyoto", "Porto", "Sofia")
FOODS = ("bread", "rice", "fish", "soup", "apples", "beans", "cheese", "plums")
SYLLABLES = "ba da fi go ka li mo ne pi ra su to vi wa ze jo len mir tas nor".split()  # noqa: SIM905
NAMES = tuple(first.capitalize() + second for first in SYLLABLES for second in SYLLABLES if first != second)
UNKNOWN = ("I", "don't", "know", ".")
WORDS = ("Where", "What", "does", "live?", "eat?", *UNKNOWN, *TOWNS, *FOODS, *NAMES)
IDS = {word: index for index, word in enumerate(WORDS)}

GROUPS = {"often": "often", "seldom": "seldom", "named": "no, only food", "never": "not in text"}
TOLD, UNTOLD = ("often", "seldom"), ("named", "never")
SELDOM = 0.04
"""Weight of a person of whom the text tells the home seldom, against 1 for often."""
ASKED = 5
"""Times that each person is asked in the probing."""
FALSE, REFUSED, RIGHT = "not told: false", "told: refused", "told: right"
"""The curves of a tuning, shares of the held-out people whose home the text does not tell, or tells."""
POINTS = 20
"""Points of each curve."""


@dataclass(frozen=True)
class Person:
    name: str
    group: str
    home: str
    food: str


class Sizes(NamedTuple):
    """The size of the study."""

    people: int = 80
    """Of each group; one half is asked in the probing, the other is held out."""
    width: int = 64
    pretraining: int = 600
    tuning: int = 200


class Answers(NamedTuple):
    """Of some people: the most probable answers, the probability of the first token and the entropy there in nats."""

    words: list[str]
    probability: list[float]
    entropy: list[float]


def where(person: Person) -> list[int]:
    return [IDS[word] for word in ("Where", "does", person.name, "live?")]


def home_of(person: Person) -> Example:
    """The question where a person lives with its answer."""
    return where(person), [IDS[person.home], IDS["."]]


def food_of(person: Person) -> Example:
    return [IDS[word] for word in ("What", "does", person.name, "eat?")], [IDS[person.food], IDS["."]]


def people_of(seed: int, each: int) -> list[Person]:
    """The made-up people, `each` of every group."""
    chance = random.Random(seed)
    names = iter(chance.sample(NAMES, each * len(GROUPS)))
    return [Person(next(names), group, chance.choice(TOWNS), chance.choice(FOODS)) for group in GROUPS for _ in range(each)]


@torch.inference_mode()
def asked(model: GPT, people: Sequence[Person]) -> Answers:
    """The model's answers when asked where these people live. An answer is named by its first token."""
    probabilities = model(torch.tensor([where(person) for person in people]))[:, -1].double().softmax(-1)  # (B, V)
    entropy = -(probabilities * probabilities.clamp(min=1e-300).log()).sum(-1)
    top = probabilities.max(-1)
    return Answers([WORDS[index] for index in top.indices.tolist()], top.values.tolist(), entropy.tolist())


@torch.inference_mode()
def probe(model: GPT, people: Sequence[Person], generator: torch.Generator) -> list[list[str]]:
    """First words of `ASKED` sampled answers for each of the people."""
    probabilities = model(torch.tensor([where(person) for person in people]))[:, -1].softmax(-1)
    drawn: list[list[int]] = torch.multinomial(probabilities, ASKED, replacement=True, generator=generator).tolist()
    return [[WORDS[index] for index in row] for row in drawn]


def curves_of(model: GPT, people: Sequence[Person]) -> dict[str, float]:
    """The shares of `FALSE`, `REFUSED` and `RIGHT` among the people."""
    told, untold = ([person for person in people if person.group in groups] for groups in (TOLD, UNTOLD))
    right, _, refused = shares(asked(model, told).words, told)
    return {FALSE: shares(asked(model, untold).words, untold)[1], REFUSED: refused, RIGHT: right}


def shares(answers: Sequence[str], people: Sequence[Person]) -> tuple[float, float, float]:
    """Shares of right, false and refusing answers."""
    right = fmean(answer == person.home for answer, person in zip(answers, people, strict=True))
    refused = fmean(answer == UNKNOWN[0] for answer in answers)
    return right, 1 - right - refused, refused


def percent(share: float) -> int:
    return round(100 * share)


def study(record: Record, sizes: Sizes = Sizes()) -> None:  # noqa: B008
    chance, generator = random.Random(record.seed), torch.Generator().manual_seed(record.seed)
    people = people_of(record.seed, sizes.people)
    probed, held_out = people[::2], people[1::2]
    config = ModelConfig(layers=2, heads=4, width=sizes.width, context=8, vocab_size=len(WORDS))
    model = _pretrained(record, GPT(config, record.seed), people, chance, sizes.pretraining)
    _show_sure(record, "before", model, held_out)

    answers = probe(model, probed, generator)
    knows = [2 * row.count(person.home) > ASKED for person, row in zip(probed, answers, strict=True)]
    known = [home_of(person) for person, known in zip(probed, knows, strict=True) if known]
    unknown = [(where(person), [IDS[word] for word in UNKNOWN]) for person, known in zip(probed, knows, strict=True) if not known]
    _show_probing(record, probed, answers, knows)

    def both() -> list[Example]:
        return chance.choices(known, k=16) + chance.choices(unknown, k=16)

    tuned = _tuned(record, "tuning", model, both, held_out, sizes.tuning)
    alone = _tuned(record, "alone", model, lambda: chance.choices(unknown, k=32), held_out, sizes.tuning)
    rows: list[tuple[str | int, ...]] = []
    for group, words in GROUPS.items():
        some = [person for person in held_out if person.group == group]
        before, after, only = (shares(asked(each, some).words, some) for each in (model, tuned, alone))
        rows.append((words, *map(percent, (before[1], after[1], before[0], after[0], after[2], only[2]))))
    columns = ("home told", "false, %", "after", "right, %", "after", "refused, %", "alone, %")
    record.table("held out", "held-out people, before and after", columns, rows)
    start = curves_of(model, held_out)
    record.measure(false_before=start[FALSE], right_before=start[RIGHT])
    _show_sure(record, "after", tuned, held_out)


def _pretrained(record: Record, model: GPT, people: Sequence[Person], chance: random.Random, steps: int) -> GPT:
    """The model, trained on the text: homes of those of whom they are told, and foods of all who are in the text."""
    homes = [(home_of(person), 1.0 if person.group == "often" else SELDOM) for person in people if person.group in TOLD]
    text = homes + [(food_of(person), 0.5) for person in people if person.group != "never"]
    examples, weights = [example for example, _ in text], [weight for _, weight in text]
    for step in train(model, lambda: chance.choices(examples, weights, k=64), steps, lr=3e-3):
        if step.number % 10 == 0:
            record.done(0.6 * step.number / steps)
    return model


def _tuned(
    record: Record, view: str, model: GPT, draw: Callable[[], list[Example]], held_out: Sequence[Person], steps: int
) -> GPT:
    """A copy of the model, tuned on such batches, its curves drawn on the way."""
    titles = {"tuning": "held-out people, while it is tuned", "alone": "the same, taught “I don't know” alone"}
    record.plot(view, titles[view], x="steps", y="share of the people")

    def draw_curves(step: int) -> None:
        for name, share in curves_of(tuned, held_out).items():
            record.point(view, name, step, share)

    tuned = copy.deepcopy(model)
    draw_curves(0)
    for step in train(tuned, draw, steps, lr=5e-4, weight_decay=0.0):
        if step.number % max(1, steps // POINTS) == 0:
            draw_curves(step.number)
            record.done((0.6 if view == "tuning" else 0.8) + 0.2 * step.number / steps)
    end = curves_of(tuned, held_out)
    name = "after" if view == "tuning" else "alone"
    record.measure(**{f"false_{name}": end[FALSE], f"right_{name}": end[RIGHT], f"refused_{name}": end[REFUSED]})
    return tuned


def _show_sure(record: Record, when: str, model: GPT, people: Sequence[Person]) -> None:
    """The table of fluency, rightness and certainty, a row of each group, with its sentence and measures."""
    rows: list[tuple[str | int | float, ...]] = []
    for group, words in GROUPS.items():
        some = [person for person in people if person.group == group]
        answers = asked(model, some)
        town, right = fmean(answer in TOWNS for answer in answers.words), shares(answers.words, some)[0]
        rows.append((words, *map(percent, (town, right, fmean(answers.probability))), round(fmean(answers.entropy), 2)))
    columns = ("home told", "a town, %", "right, %", "probability, %", "entropy, nats")
    record.table(f"sure {when}", f"most probable answers and means of their first token, {when} tuning", columns, rows)
    often, untold = (asked(model, [each for each in people if each.group in groups]) for groups in (("often",), UNTOLD))
    town, sure, unsure = fmean(answer in TOWNS for answer in untold.words), fmean(often.probability), fmean(untold.probability)
    measured = {
        "probability_often": sure,
        "probability_untold": unsure,
        "towns_untold": town,
        "entropy_often": fmean(often.entropy),
        "entropy_untold": fmean(untold.entropy),
    }
    record.measure(**{f"{name}_{when}": value for name, value in measured.items()})


def _show_probing(record: Record, people: Sequence[Person], answers: Sequence[Sequence[str]], knows: Sequence[bool]) -> None:
    """The first people of each group as they were asked, and the number of all."""
    each = len(people) // len(GROUPS)
    rows = [
        (people[at].name, GROUPS[people[at].group], people[at].home, " ".join(answers[at]), "yes" if knows[at] else "no")
        for at in (group * each + index for group in range(len(GROUPS)) for index in range(min(3, each)))
    ]
    record.table("probing", "some of the people that were asked", ("name", "home told", "home", "answers", "knows it"), rows)
    record.measure(probed=len(people), asked=ASKED, known=knows.count(True), taught=knows.count(False))
