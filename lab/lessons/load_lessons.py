"""Read the lessons: Markdown files of this folder, in the order of their numbers."""

from pathlib import Path

from lab.core.atomic_io import os_error_in_words
from lab.core.errors import UserError
from lab.core.visible_text import visible
from lab.lessons.lesson import Lesson, parse_lesson

FOLDER = Path(__file__).parent
CLAIMS = FOLDER / "claims"
LARGEST_FILE = 1 << 20
LONGEST_NAME = 100
"""Characters: as many as the file of the progress keeps."""


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
    for path in sorted(folder.glob("*.md")):
        try:
            lesson = parse_lesson(path, read_lesson_file(path))
        except UserError as error:
            problems.append(str(error))
            continue
        if lesson.name in found:
            problems.append(f"Two lessons in {folder} are called {lesson.name}; rename one of the files.")
        else:
            found[lesson.name] = lesson
    return sorted(found.values(), key=lambda lesson: (lesson.number, lesson.name)), problems


def read_lesson_file(path: Path) -> str:
    """The text of a lesson's or a claim's file, with its control characters made visible.

    Raises: UserError: one sentence naming the file, where it is no UTF-8 text of bounded size.
    """
    if len(path.stem) > LONGEST_NAME:
        raise UserError(f"The name of {visible(str(path))} is too long: give the file one of at most {LONGEST_NAME} characters.")
    try:
        if not path.is_file():
            raise UserError(f"{visible(str(path))} is no regular file; a lesson or claim is a Markdown file of its own.")
        with path.open("rb") as file:
            raw = file.read(LARGEST_FILE + 1)
    except OSError as error:
        raise os_error_in_words(error, f"read {visible(str(path))}") from error
    if len(raw) > LARGEST_FILE:
        raise UserError(f"{visible(str(path))} is larger than a lesson or claim may be, {LARGEST_FILE >> 20} MiB; shorten it.")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{visible(str(path))} is no UTF-8 text; save it as UTF-8.") from error
    return visible(text.replace("\r\n", "\n"), keep="\n\t")


def claim_titles(folder: Path = CLAIMS) -> dict[str, str]:
    """The claims by name, without their experiments, which take longer to import."""
    first_lines = {path.stem: read_lesson_file(path).partition("\n")[0] for path in folder.glob("*.md")}
    return {stem.partition("-")[2]: line.removeprefix("# ").strip() for stem, line in first_lines.items()}
