"""Exercise: what it asks, the lab's own version, the cases that it is checked on, and wrong versions that are known.

Its words are a file of `tasks`, NAME.md: its title, the lesson that explains it, words, the template of the learner's file, three
hints, a plain solution, which may call the functions of exercises before it, and known mistakes: each a sentence, and below it
the changes that make the solution wrong so, or a whole function. `cases` has what it is checked on. To add one, write both and
put its name into `NAMES`; the tests compare the solution with the model's own code, or torch's.
"""

import ast
import inspect
import re
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from lab.lessons.translation import language, read_in_language

NAMES = (
    *("count_pairs", "learn_merges", "encode", "windows", "embed", "softmax", "layer_norm", "head", "attention", "mlp"),
    *("gpt", "cross_entropy", "adamw", "sample", "next_logits"),
)
"""The exercises in their order, numbered from 1."""
TASKS = Path(__file__).parent / "tasks"

YOUR_MODEL = "Your GPT-2"
"""Title of the model that uses the learner's functions."""

Function = Callable[..., Any]


@dataclass(frozen=True)
class Words:
    """What the learner reads before any code is loaded."""

    number: int
    name: str
    title: str
    lesson: str
    """Name of the lesson that explains it."""
    stages: tuple[str, ...]
    """Stages of Inspect that the function computes."""
    seconds: float
    """Processor time that a check may take."""
    text: str
    template: str
    told: tuple[str, ...]
    """Three hints, each saying more than the one before, the last one without the lines of `source`."""
    source: str
    """Functions of `models`, such as `gpt.MLP.forward`."""
    solution: str
    faults: str
    """The list of known mistakes, as it stands in the file."""

    @cached_property
    def hints(self) -> tuple[str, ...]:
        """The three hints, the last one with the model's own lines."""
        return (*self.told[:2], "\n".join((self.told[2], *source_lines(self.source))))

    @cached_property
    def mistakes(self) -> tuple[tuple[str, str], ...]:
        """Sentence and code of each known mistake."""
        return tuple(_mistake(self.solution, each) for each in self.faults.split("\n- ")[1:])

    @property
    def file_name(self) -> str:
        """Name of the learner's file."""
        return f"{self.number:02}_{self.name}.py"

    @property
    def asked(self) -> str:
        """The first line of the function, and what it has to do."""
        function = ast.parse(self.template).body[-1]
        assert isinstance(function, ast.FunctionDef)
        paragraphs = inspect.cleandoc(ast.get_docstring(function) or "").split("\n\n")
        lines = (" ".join(paragraph.split("\n")) for paragraph in paragraphs)
        return "\n\n".join((f"def {self.name}({ast.unparse(function.args)}):", *lines))


FORM = re.compile(
    r"# (?P<title>[^\n]+)\nlesson: (?P<lesson>[^\n]+)\n(stages: (?P<stages>[^\n]+)\n)?(source: (?P<source>[^\n]+)\n)?"
    r"(seconds: (?P<seconds>[^\n]+)\n)?\n"
    r"(?P<text>.+?)\n+"
    r"```python\n(?P<template>.+?)```\n(?P<hints>.+?)\n"
    r"## Solution\n\n```python\n(?P<solution>.+?)```\n\n## Mistakes\n(?P<mistakes>.+)",
    re.DOTALL,
)
FENCE = "```python\n"
CHECK_SECONDS = 2.0
"""Seconds of processor time that a check may take where the exercise does not say."""


def words_of(name: str) -> Words:
    """The words of an exercise, in the language in use. Raises ValueError for a file of another form."""
    return _words_in(language(), name)


@cache
def _words_in(code: str, name: str) -> Words:
    found = FORM.fullmatch(read_in_language(TASKS / f"{name}.md", TASKS, "exercises", code))
    older, *hints = map(str.strip, re.split(r"(?m)^## .+\n", found["hints"])) if found else ("",)
    if found is None or len(hints) != 3:
        raise ValueError(f"{name}.md has to have a title, its lesson, words, a template and three hints.")
    seconds, number = float(found["seconds"] or CHECK_SECONDS), NAMES.index(name) + 1
    stages = tuple((found["stages"] or "").split())
    words = (found["title"], found["lesson"], stages, seconds, f"{found['text']} {older}".strip(), found["template"])
    return Words(number, name, *words, tuple(hints), found["source"] or "", found["solution"], found["mistakes"])


def source_lines(places: str) -> list[str]:
    """Lines of functions of `models`, such as `gpt.MLP.forward`, without their docstrings."""
    lines = list[str]()
    for module, *names in (place.split(".") for place in places.split()):
        text = (TASKS.parents[2] / "models" / f"{module}.py").read_text(encoding="utf-8")
        node: Any = ast.parse(text)
        for name in names:
            node = next(each for each in node.body if getattr(each, "name", "") == name)
        first = node.body[ast.get_docstring(node) is not None].lineno - 1
        shown = textwrap.dedent("\n".join(text.split("\n")[first : node.end_lineno]))
        lines += [f"models/{module}.py, {'.'.join(names)}:", *shown.split("\n")]
    return lines


def now_write(lesson: str) -> str:
    """The exercises of a lesson, as the Markdown that it ends with; "" where it has none."""
    found = [f"{words.number}. {words.title}" for words in map(words_of, NAMES) if words.lesson == lesson]
    return f"\n\n**Now write it**, on the page *write*: {'; '.join(found)}." if found else ""


def _mistake(solution: str, text: str) -> tuple[str, str]:
    """Sentence and code of a known mistake. Raises ValueError for a change that fits nowhere, or in several places."""
    sentence, _, rest = text.partition("\n")
    if rest.startswith(FENCE):
        return sentence, rest.removeprefix(FENCE).rstrip("`\n")
    for line in rest.strip().splitlines():
        old, new = line.strip()[1:-1].split("` → `")
        if solution.count(old) != 1:
            raise ValueError(f"`{old}` is not once in the solution: {sentence}")
        solution = solution.replace(old, new)
    return sentence, solution


def defined(name: str, code: str, functions: Mapping[str, Function]) -> Function:
    """The function of this name that some code of an exercise's words defines; it may call these functions."""
    values: dict[str, Any] = dict(functions)
    exec(compile(code, f"{name}.md", "exec"), values)
    function: Function = values[name]
    return function


@cache
def beside_the_functions() -> list[str]:
    """Code that `my_gpt.py` has beside the functions: how one gets another; training a small model with them, and writing."""
    text = (TASKS.parent / "my_gpt.md").read_text(encoding="utf-8")
    return [part.partition("```")[0].strip() for part in text.split(FENCE)[1:]]


@cache
def reference_of(name: str) -> Function:
    """The function of an exercise as the lab has it, the plain solution."""
    return defined(name, words_of(name).solution, _before(name))


def wrong_versions(name: str) -> list[tuple[str, Function]]:
    """Wrong versions of an exercise, each with the sentence that says what is wrong with it."""
    return [(sentence, defined(name, code, _before(name))) for sentence, code in words_of(name).mistakes]


def _before(name: str) -> dict[str, Function]:
    return {other: reference_of(other) for other in NAMES[: NAMES.index(name)]}
