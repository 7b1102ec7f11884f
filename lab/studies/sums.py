"""Study of sums: the last digit of a sum of one to six digits, at once or after the running sums, and where the answer appears.

Two models of the same size train on the same number of tokens; a third one, which answers at once, on four times as many: what
the layers can do is seen only where the training was enough. A prompt has six places, empty ones blank, so that a digit and the
running sum up to it are always equally far apart. Each number is one token. The sums of three terms and more that are asked were
kept out of training; of fewer terms there are only a hundred and ten.

Sums of few terms lead to those of more: AdamW, and Muon without sums of one term, learned nothing at once in as many steps.
"""

import random
from collections.abc import Sequence
from itertools import accumulate
from statistics import fmean
from typing import NamedTuple

from lab.studies.study_job import Record
from lab.training.posttraining.answers import Example, greedy_answers
from lab.training.posttraining.sft_and_rl import train
from models.config import ModelConfig
from models.gpt import GPT
from models.trace import Trace

Terms = tuple[int, ...]
FEWEST, FEW, MOST = 1, 3, 6
COUNTS = range(FEWEST, MOST + 1)
"""Numbers of terms."""
BLANK, EQUALS, END = range(9 * MOST + 1, 9 * MOST + 4)
"""Ids after those of the numbers, each number its own id."""
AT_ONCE, WRITTEN = WAYS = ("at once", "written out")
LONGER = "longer"
NAMES = {AT_ONCE: "at_once", WRITTEN: "written", LONGER: "longer"}
"""Beginnings of the measures of each model."""


class Sizes(NamedTuple):
    """Sizes of the study."""

    asked: int = 100
    """Sums of each number of terms that are asked, at most."""
    steps: int = 400
    longer: int = 4
    """Times as many steps of the model `LONGER`."""
    tokens: int = 1000
    """Tokens of a step, of either model."""
    layers: int = 2
    width: int = 64
    evaluations: int = 10


def example(terms: Terms, way: str) -> Example:
    """Ids of the prompt, and of the answer: the last digit of the sum, written out after the sums of the first terms."""
    prompt = [*terms, *[BLANK] * (MOST - len(terms)), EQUALS]
    return prompt, [*(accumulate(terms) if way == WRITTEN else ()), sum(terms) % 10, END]


def study(record: Record, sizes: Sizes = Sizes()) -> None:  # noqa: B008
    """Train models that answer at once and one that writes the sums out, and ask all."""
    order = random.Random(record.seed)
    asked = {count: _sums(order, count, sizes.asked) for count in COUNTS}
    _show_examples(record, asked)
    record.plot("terms", "right answers by the number of terms", x="terms")
    record.plot("training", "sums of six terms, over training", x="tokens trained on")
    shape = ModelConfig(layers=sizes.layers, heads=4, width=sizes.width, context=2 * MOST + 3, vocab_size=END + 1)
    held = {terms for count in COUNTS if count >= FEW for terms in asked[count]}
    models, most, done = dict[str, GPT](), dict[str, float](), 0
    for name, short in NAMES.items():
        way, steps = (AT_ONCE, sizes.steps * sizes.longer) if name == LONGER else (name, sizes.steps)
        models[name] = model = GPT(shape, seed=record.seed)
        draws, right, tokens = random.Random(record.seed), dict[int, float](), 0
        for step in train(model, lambda: _batch(draws, held, way, sizes.tokens), steps, 1e-2, rule="muon"):  # noqa: B023
            tokens = step.tokens
            if step.number * sizes.evaluations % steps < sizes.evaluations:
                right = {count: share_right(model, asked[count], way) for count in COUNTS}
                record.point("training", name, tokens, right[MOST])
                record.done((done + step.number) / sizes.steps / (len(WAYS) + sizes.longer))
        done += steps
        for count, share in right.items():
            record.point("terms", name, count, share)
        record.measure(**{f"{short}_tokens": tokens}, **{f"{short}_{count}": share for count, share in right.items()})
        most[name] = right[MOST]
    record.measure(lead_6=most[WRITTEN] - most[AT_ONCE])
    _show_lens(record, asked, models, sizes.layers)


def _sums(order: random.Random, count: int, many: int) -> list[Terms]:
    """Different sums of so many terms."""
    found = dict[Terms, None]()
    while len(found) < min(many, 10**count):
        found[tuple(order.choices(range(10), k=count))] = None
    return list(found)


def _batch(order: random.Random, held: set[Terms], way: str, tokens: int) -> list[Example]:
    """Examples with this many tokens in all, up to the last one."""
    batch, length = list[Example](), 0
    while length < tokens:
        terms = tuple(order.choices(range(10), k=order.choice(COUNTS)))
        if terms not in held:
            batch.append(example(terms, way))
            length += sum(map(len, batch[-1]))
    return batch


def share_right(model: GPT, asked: Sequence[Terms], way: str) -> float:
    """Share of the sums whose last digit, the one before the end, is right; the running sums are not judged."""
    answers = greedy_answers(model, [example(terms, way)[0] for terms in asked], END, MOST + 2)
    return fmean(answer[-2:] == [sum(terms) % 10, END] for answer, terms in zip(answers, asked, strict=True))


def _show_examples(record: Record, asked: dict[int, list[Terms]]) -> None:
    def text(ids: Sequence[int]) -> str:
        return " ".join({BLANK: "_", EQUALS: "=", END: "."}.get(id_, str(id_)) for id_ in ids)

    both = [[example(asked[count][0], way) for way in WAYS] for count in COUNTS]
    rows = [(count, text(once[0]), text(once[1]), text(written[1])) for count, (once, written) in zip(COUNTS, both, strict=True)]
    record.table("examples", "a token for each number and sign; _ is an empty place, . the end", ["terms", "prompt", *WAYS], rows)


PARTS = {"resid_mid": "attention", "resid_post": "MLP"}


def lens(model: GPT, asked: Sequence[Terms], way: str) -> list[float]:
    """Share of the sums whose answer is the logit lens's most probable token, at the position before the answer: of the
    embeddings, and after each attention and MLP. What stands before it is right."""
    names = ["blocks.0.resid_pre", *(f"blocks.{layer}.{part}" for layer in range(model.config.layers) for part in PARTS)]
    right = [0] * len(names)
    for terms in asked:
        prompt, answer = example(terms, way)
        trace = Trace(model, [*prompt, *answer[:-2]])
        for at, name in enumerate(names):
            right[at] += int(trace.lens(name, [-1])[0].argmax()) == answer[-2]
    return [each / len(asked) for each in right]


def _show_lens(record: Record, asked: dict[int, list[Terms]], models: dict[str, GPT], layers: int) -> None:
    stages = ["embeddings", *(f"{part} {layer + 1}" for layer in range(layers) for part in PARTS.values())]
    rows = list[tuple[str | float, ...]]()
    for name, model in models.items():
        for count in (FEW, MOST):
            shares = lens(model, asked[count], AT_ONCE if name == LONGER else name)
            rows.append((f"{name}: {count}", *shares))
        record.measure(**{f"{NAMES[name]}_mlp_1": shares[2]})
    record.table("lens", "right answers of the logit lens after each part, by number of terms", ["terms", *stages], rows)
