"""Windows: inputs and targets of a training step, the targets one token on."""

from functools import partial

import torch
from torch import Tensor

from lab.exercises.exercise import Case
from lab.exercises.material import Material

Windows = tuple[Tensor, Tensor]


def cut(ids: list[int], starts: list[int], context: int, shift: int = 1) -> Windows:
    inputs = torch.tensor([ids[start : start + context] for start in starts])
    return inputs, torch.tensor([ids[start + shift : start + shift + context] for start in starts])


def windows(ids: list[int], starts: list[int], context: int) -> Windows:
    return cut(ids, starts, context)


def cases(material: Material) -> list[Case]:
    ids = material.text_ids[:200]
    return [
        Case("three windows of the text", (ids, [0, 17, 90], 16)),
        Case("one token of context", (ids, [3, 4], 1)),
        Case("a window that ends with the text", (ids[:9], [0], 8)),
    ]


WRONG = {
    "The targets are not shifted: each token is to predict itself.": partial(cut, shift=0),
    "The targets are two tokens on; the next token is one on.": lambda ids, starts, context: tuple(
        torch.tensor([(ids[start + by : start + by + context] + [0] * 2)[:context] for start in starts]) for by in (0, 2)
    ),
    "The targets are the tokens before, not those after.": lambda ids, starts, context: (
        cut(ids, starts, context)[1],
        cut(ids, starts, context)[0],
    ),
    "The windows follow each other from the first start on; each begins at a start of its own.": lambda ids, starts, context: cut(
        ids * 2, [starts[0] + at * context for at in range(len(starts))], context
    ),
    "Windows are the columns: the shape is (context, windows).": lambda *given: tuple(each.T for each in cut(*given)),
}
