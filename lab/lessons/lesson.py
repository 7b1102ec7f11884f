"""Lesson: its steps, each a short text with at most one live widget, read from Markdown.

A lesson's file begins with its title. A heading begins a step, and a fenced block names the widget of the step:

    # Attention
    A few plain paragraphs.

    ## One query, one row
    {key:live.head} goes to the next head.

    ```live stage
    stage: scores
    prompt: The big dog ran
    ```

The first word after `live` is a widget of `screens.learn.lesson_reader`; each line below it is one of its options.
An action's id stands for its key, as in `{key:live.head}`.
"""

import re
from dataclasses import dataclass, field, replace
from pathlib import Path

from lab.core.errors import UserError
from lab.lessons.translation import read_in_language, read_lesson_file

FENCE = re.compile(r"^(`{3,}|~{3,})")
OPTION = re.compile(r"^([a-z][a-z-]*):\s*(.*)$")


@dataclass(frozen=True)
class Live:
    """A live widget, as a lesson names it."""

    widget: str
    options: dict[str, str] = field(default_factory=dict)
    words: dict[str, str] = field(default_factory=dict)
    """The options in the language in use; empty where that is English."""


@dataclass(frozen=True)
class LessonStep:
    """One screenful of a lesson."""

    title: str
    """"" for the first step of a lesson, which the lesson's title stands for."""
    text: str
    """Markdown, without the title and the live widget."""
    live: Live | None


@dataclass(frozen=True)
class Lesson:
    name: str
    """The file's name without number and suffix, such as `softmax`."""
    number: int
    title: str
    steps: tuple[LessonStep, ...]

    @property
    def text(self) -> str:
        return "\n\n".join(step.text for step in self.steps)


def parse_lesson(path: Path, text: str) -> Lesson:
    """The lesson in the text of a file. Raises: UserError, naming the file and the line, where it is not in the form above."""
    number, _, name = path.stem.partition("-")
    if not (number.isdecimal() and name):
        raise UserError(f"The lesson {path} needs a name such as 05-softmax.md: its number, a dash, its name.")
    lines = text.splitlines()
    if not lines or not lines[0].startswith("# ") or not lines[0][2:].strip():
        raise UserError(f"The lesson {path} must begin with its title: a line such as # Softmax.")
    return Lesson(name, int(number), lines[0][2:].strip(), tuple(_steps(path, lines[1:])))


def _steps(path: Path, lines: list[str]) -> list[LessonStep]:
    def error(at: int, problem: str) -> UserError:
        return UserError(f"The lesson {path}, line {at + 2}: {problem}.")

    def options(first: int, end: int) -> dict[str, str]:
        found: dict[str, str] = {}
        for at in (at for at in range(first, end) if lines[at].strip()):
            option = OPTION.match(lines[at])
            if option is None or option[1] in found:
                raise error(at, "an option is one line such as head: 2, each name once")
            found[option[1]] = option[2].strip()
        return found

    steps: list[LessonStep] = []
    title, text, live = "", list[str](), None
    at = 0
    while at < len(lines):
        line = lines[at]
        fence = FENCE.match(line)
        if line.startswith("## "):
            if title or live or "".join(text).strip():
                steps.append(LessonStep(title, "\n".join(text).strip(), live))
            title, text, live = line[3:].strip(), [], None
            at += 1
        elif fence:
            end = next((i for i in range(at + 1, len(lines)) if lines[i].strip() == fence[0]), None)
            if end is None:
                raise error(at, "this fenced block has no end")
            kind, *words = line[len(fence[0]) :].split() or [""]
            if kind != "live":
                text += lines[at : end + 1]
            elif live is not None:
                raise error(at, "a step has one live widget at most: begin another step with a line ## Title")
            elif len(words) != 1:
                raise error(at, "a live block names one widget, as in live stage")
            else:
                live = Live(words[0], options(at + 1, end))
            at = end + 1
        else:
            text.append(line)
            at += 1
    return [*steps, LessonStep(title, "\n".join(text).strip(), live)]


FOLDER = Path(__file__).parent / "chapters"
CLAIMS = Path(__file__).parent / "claims"


def lessons(folder: Path = FOLDER) -> list[Lesson]:
    """All lessons. Raises: UserError where a file is not in the form of `lab.lessons.lesson`."""
    found, problems = lessons_and_problems(folder)
    if problems:
        raise UserError(problems[0])
    return found


def lessons_and_problems(folder: Path = FOLDER) -> tuple[list[Lesson], list[str]]:
    """The lessons that can be read, and a sentence on each file that is none, or has the name of another. Never fails."""
    found: dict[str, Lesson] = {}
    problems = []
    for path in sorted(folder.rglob("*.md")):
        try:
            lesson = _lesson(path)
        except UserError as error:
            problems.append(str(error))
            continue
        if lesson.name in found:
            problems.append(f"Two lessons in {folder} are called {lesson.name}; rename one of the files.")
            continue
        found[lesson.name] = lesson
    return sorted(found.values(), key=lambda lesson: (lesson.number, lesson.name)), problems


def _lesson(path: Path) -> Lesson:
    """The lesson of a file in the language in use, its live blocks with the English options, and with the words beside them."""
    english, own = (parse_lesson(path, read(path)) for read in (read_lesson_file, read_in_language))
    steps = []
    for step, said in zip(english.steps, own.steps, strict=True):
        if step.live is not None and said.live is not None and said.live != step.live:
            said = replace(said, live=replace(step.live, words=said.live.options))
        steps.append(said)
    return replace(own, steps=tuple(steps))


def titles(folder: Path) -> dict[str, str]:
    """The titles of the lessons or the claims in a folder by name; those of claims without their experiments, which are slow."""
    first_lines = {path.stem: read_in_language(path).partition("\n")[0] for path in folder.rglob("*.md")}
    return {stem.partition("-")[2]: line.removeprefix("# ").strip() for stem, line in first_lines.items()}
