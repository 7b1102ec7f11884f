"""Built-in texts: their names, and how each is opened. A new one is added here."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from lab.core.errors import UserError
from lab.core.number_format import bytes_

BUILTINS = {
    "stories": "short stories that the lab makes up; their true entropy is known",
    "python": "the Python language reference that comes with every Python",
}
"""Name and description of each. A file of the same name is opened by its path, such as ./stories."""

_STORIES = re.compile(r"stories(?::(\d+(?:\.\d+)?)([kMG]?)B?)?", re.IGNORECASE)
MOST_STORIES = 100_000_000_000
"""Largest text of stories in bytes."""
_UNITS = {"": 1, "k": 1_000, "m": 1_000_000, "g": 1_000_000_000}


@dataclass(frozen=True)
class BuiltinText:
    """A built-in text, opened. `read` gives it in parts, each with how many of its `bytes` have been read so far."""

    name: str
    source: str
    bytes: int
    read: Callable[[], Iterator[tuple[str, int]]]
    entropy_bits_per_byte: float | None = None


def is_builtin(source: str) -> bool:
    """True if the source names a built-in text."""
    return source in BUILTINS or _STORIES.fullmatch(source) is not None


def open_builtin(source: str) -> BuiltinText:
    """The built-in text that `source` names.
    Raises UserError if it is asked for in no size, or does not come with this Python."""
    match = _STORIES.fullmatch(source)
    return _stories(source, match) if match else _python()


def _stories(source: str, match: re.Match[str]) -> BuiltinText:
    from lab.data import builtin_stories

    size = round(min(float(match[1]), 1e30) * _UNITS[match[2].lower()]) if match[1] else builtin_stories.DEFAULT_SIZE
    if not size:
        raise UserError(f"{source} asks for an empty text; use for example stories:5MB.")
    if size > MOST_STORIES:
        raise UserError(f"{source} asks for more than {bytes_(MOST_STORIES)}; use for example stories:5MB.")

    def read() -> Iterator[tuple[str, int]]:
        done, is_default = 0, size == builtin_stories.DEFAULT_SIZE
        for text in builtin_stories.default_parts() if is_default else builtin_stories.generate(size):
            done += len(text)
            yield text, done

    return BuiltinText("stories", source.lower(), size, read, builtin_stories.entropy_bits_per_byte())


def _python() -> BuiltinText:
    try:
        from pydoc_data.topics import topics
    except ImportError as error:
        raise UserError("this Python comes without its language reference (pydoc_data); choose another text.") from error
    text = "\n\n".join(topics[topic].strip("\n") for topic in sorted(topics)) + "\n"
    size = len(text.encode())
    return BuiltinText("python", "python", size, lambda: iter([(text, size)]))
