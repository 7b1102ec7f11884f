"""Your model: forward pass, training and writing by the learner's functions where they pass, else by the lab's."""

import random
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from lab.core.number_format import fixed, probability, significant, whole
from lab.core.visible_text import quoted
from lab.exercises.comparison import TOLERANCE
from lab.exercises.exercise import NAMES, Function, beside_the_functions, defined, reference_of, words_of
from lab.exercises.learner_code import executed
from lab.views.blocks import Parity

if TYPE_CHECKING:
    from torch import Tensor

    from lab.exercises.material import Material

STEPS, COMPARED, BATCH, CONTEXT = 200, 20, 4, 32
"""Steps of the training, the one at which the losses are to be equal to `EQUAL_LOSS`, and tokens of a step; as in my_gpt.md."""
LAYERS, HEADS, WIDTH, LR = 2, 4, 32, 3e-3
EQUAL_LOSS = 1e-4
MERGES, VOCABULARY_TEXT = 64, 3000
"""Of the small model's vocabulary, and the bytes that it is learned from."""
WRITTEN, TEMPERATURE, TOP_K = 60, 0.8, 40


class ForwardPass(msgspec.Struct, frozen=True):
    """A forward pass by the learner's functions beside the model's own."""

    used: list[str]
    """Exercises whose functions were called."""
    parity: Parity
    """Of the logits."""
    step: int
    """Of the model's weights."""


class YourModel(msgspec.Struct, frozen=True):
    """A model that uses the learner's functions, against the lab's own."""

    yours: list[str]
    """Exercises whose functions pass."""
    used: list[str]
    """Those of them that were called."""
    parity: Parity
    """Of the prompt's logits."""
    predictions: list[tuple[str, float]]
    """The most probable next token with its probability, by theirs and by the model."""
    prompt: str
    written: list[str]
    """What follows the prompt, by theirs and by the lab's functions with the same random numbers."""
    losses: list[tuple[float, float]]
    """Of each step of a small model's training, by theirs and by the lab's own trainer's functions."""
    untrained: str = ""
    """Why there is no training, in a sentence."""
    cannot_train: bool = False
    """True if that is because of the learner's functions."""

    @property
    def is_equal(self) -> bool:
        """True if it predicts, trains and writes as the lab's does."""
        trains = not self.cannot_train and all(abs(one - other) < EQUAL_LOSS for one, other in self.losses[:COMPARED])
        return (
            trains and self.written[0] == self.written[1] and self.parity.max_delta <= TOLERANCE * max(1.0, self.parity.largest)
        )

    def in_words(self) -> list[str]:
        """What it does, beside what the lab's does, in sentences."""
        (token, share), (right, expected) = self.predictions
        rest = ", ".join(name for name in self.yours if name not in self.used)
        found = [f"Yours in it, {len(self.used)} of {len(NAMES)}: {', '.join(self.used) or 'none yet'}."]
        found += [f"These pass, and nothing in it calls them: {rest}."] if rest and not self.cannot_train else []
        found.append(
            f"After {quoted(self.prompt)} it predicts {quoted(token)} with {probability(share)}, the model {quoted(right)} with "
            f"{probability(expected)}; the largest difference of {whole(self.parity.count)} logits is "
            f"{significant(self.parity.max_delta)}."
        )
        same = (
            "the lab's functions write the same" if self.written[0] == self.written[1] else f"the lab's write: {self.written[1]}"
        )
        found.append(f"It writes, with random numbers of a seed: {self.written[0]}\n({same})")
        if self.losses:
            (mine, lab), (end, lab_end) = self.losses[COMPARED - 1], self.losses[-1]
            apart = max(abs(one - other) for one, other in self.losses[:COMPARED])
            found.append(
                f"A small model trains: loss {fixed(mine)} at step {COMPARED}, the lab's {fixed(lab)} (largest difference up to "
                f"there {significant(apart)}); at step {len(self.losses)} {fixed(end)} and {fixed(lab_end)}."
            )
        return [*found, *filter(None, [self.untrained])]


def assembled(mine: Mapping[str, str], called: Callable[[str], object] | None = None) -> dict[str, Function]:
    """The functions by exercise, the learner's where there is a file, else the lab's, each also as a module to import.

    With `called`, which gets the names of theirs as they are called, theirs are used wherever they can be: where attention does
    not pass it is the plain solution, which calls their head, and so on.
    """
    functions, put_in = dict[str, Function](), defined("put_in", beside_the_functions()[0], {})
    for name in NAMES:
        if name in mine:
            function = executed(name, Path(mine[name]))
            function = function if called is None else _told(name, function, called)
        else:
            function = reference_of(name) if called is None else defined(name, words_of(name).solution, functions)
        functions[name] = put_in(name, function)
    return functions


def _told(name: str, function: Function, called: Callable[[str], object]) -> Function:
    """The function, which tells that it was called."""

    def told(*given: Any, **named: Any) -> Any:
        called(name)
        return function(*given, **named)

    return told


def your_forward_pass(
    functions: Mapping[str, Function], used: Collection[str], material: "Material"
) -> tuple["Tensor", ForwardPass]:
    """The logits of the prompt by these functions, and how far they are from the model's. Raises whatever they raise."""
    import torch

    logits = functions["gpt"](torch.tensor(material.ids), dict(material.weights), material.heads)
    if not logits.isfinite().all():
        raise ValueError("the logits are NaN or infinite")
    expected = material.trace["logits"]
    parity = Parity("model", float((logits - expected).abs().max()), expected.numel(), float(expected.abs().max()))
    return logits, ForwardPass([name for name in NAMES if name in used], parity, material.loaded[1])


def your_model(mine: Mapping[str, str], material: "Material") -> YourModel:
    """The model put together, and what it does at the prompt. Raises whatever the learner's code raises."""
    import torch

    used = set[str]()
    functions = assembled(mine, used.add)
    logits, first = your_forward_pass(functions, used, material)
    shares = [each[-1].double().softmax(-1) for each in (logits, material.trace["logits"])]
    predictions = [(material.decoded([int(each.argmax())]), float(each.max())) for each in shares]
    lab = {name: reference_of(name) for name in NAMES}
    written = [written_by(each, material) for each in (functions, lab)]
    losses, untrained, cannot_train = list[tuple[float, float]](), "", False
    if {"cross_entropy", "adamw"} & set(mine):
        try:
            with torch.enable_grad():
                losses = train(functions, material)
        except (RuntimeError, TypeError) as error:  # numpy in the forward pass
            cannot_train = True
            untrained = f"It cannot train with your functions, for gradients go through torch's operations alone: {error}"
    else:
        untrained = "It trains once 12 or 13 passes."
    names = [name for name in NAMES if name in used]
    return YourModel(list(mine), names, first.parity, predictions, material.prompt, written, losses, untrained, cannot_train)


def written_by(functions: Mapping[str, Function], material: "Material") -> str:
    """What follows the prompt, token by token, with random numbers that are the same each time."""
    import torch

    shape, numbers = material.run.config.model, random.Random(1)
    room = max(shape.context // 2, shape.context - WRITTEN)
    ids, cache = material.ids[-room:], torch.zeros(shape.layers, 2, 0, shape.width)
    for token in ids:
        logits, cache = map(torch.as_tensor, functions["next_logits"](token, cache, material.weights, material.heads))
    written = list[int]()
    while len(written) < min(WRITTEN, shape.context - len(ids)):
        written.append(int(functions["sample"](logits, numbers.random(), TEMPERATURE, TOP_K)[1]))
        logits, cache = map(torch.as_tensor, functions["next_logits"](written[-1], cache, material.weights, material.heads))
    return material.decoded(written)


def train(functions: Mapping[str, Function], material: "Material") -> list[tuple[float, float]]:
    """The losses of each step of a small model on the run's text, by these functions and by the lab's, from the same weights."""
    import torch

    from models.config import ModelConfig
    from models.gpt import GPT
    from models.optimizers import make_optimizer

    merges = [tuple(map(int, pair)) for pair in functions["learn_merges"](material.text[:VOCABULARY_TEXT], MERGES)]
    ids = list(map(int, functions["encode"](material.text, merges)))
    vocabulary = 256 + len(merges)
    lab = GPT(ModelConfig(layers=LAYERS, heads=HEADS, width=WIDTH, context=CONTEXT, vocab_size=vocabulary), seed=1)
    optimizer = make_optimizer(lab, LR)
    weights = {name: weight.detach().clone() for name, weight in lab.named_parameters()}
    averages = {name: [torch.zeros_like(weight), torch.zeros_like(weight)] for name, weight in weights.items()}
    starts, losses = random.Random(1), list[tuple[float, float]]()
    training_step = defined("training_step", beside_the_functions()[1], functions)
    for step in range(1, STEPS + 1):
        chosen = [starts.randrange(len(ids) - CONTEXT) for _ in range(BATCH)]
        loss = training_step(ids, chosen, weights, averages, step)
        optimizer.zero_grad()
        inputs, targets = reference_of("windows")(ids, chosen, CONTEXT)
        right = lab.loss(inputs, targets)
        right.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        losses.append((loss, float(right.detach())))
    return losses
