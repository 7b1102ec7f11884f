"""Read the lessons: Markdown files of this folder, in the order of their names."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Lesson:
    name: str
    """The file's name without number and suffix, such as `softmax`; live widgets are attached by it."""
    title: str
    text: str
    """Markdown, without the title."""


def lessons() -> list[Lesson]:
    found = []
    for path in sorted(Path(__file__).parent.glob("*.md")):
        title, _, text = path.read_text(encoding="utf-8").partition("\n")
        found.append(Lesson(path.stem.partition("-")[2], title.removeprefix("# ").strip(), text.strip()))
    return found
