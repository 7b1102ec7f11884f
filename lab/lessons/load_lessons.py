"""Read the lessons: Markdown files of this folder, in the order of their numbers."""

from pathlib import Path

from lab.lessons.lesson import Lesson, parse_lesson


def lessons() -> list[Lesson]:
    """All lessons. Raises: UserError where a file is not in the form of `lab.lessons.lesson`."""
    found = [parse_lesson(path, path.read_text(encoding="utf-8")) for path in Path(__file__).parent.glob("*.md")]
    return sorted(found, key=lambda lesson: (lesson.number, lesson.name))
