"""The history of prompts, newest last, in one small file of the home folder. Nothing here needs torch."""

from pathlib import Path

import msgspec

from lab.core.atomic_io import os_error_in_words, write_atomic
from lab.core.bounded_json import JSON_ERRORS
from lab.core.errors import UserError
from lab.core.safe_open import read_regular

PROMPTS_KEPT = 200
CHARACTERS_KEPT = 200_000
"""Of all prompts together: a pasted chapter may evict older prompts, but the file stays small."""
LARGEST_HISTORY = 64 << 20


class Entry(msgspec.Struct):
    """One line of the file; an object, so that later versions can add fields."""

    text: str


def history_path(home: Path) -> Path:
    return home / "prompts.jsonl"


def read_history(home: Path) -> list[str]:
    """The prompts, newest last; unreadable lines are skipped. Never fails."""
    try:
        lines = read_regular(history_path(home), LARGEST_HISTORY, follow=True).splitlines()
    except (OSError, UserError):
        return []
    found = []
    for line in lines:
        try:
            found.append(msgspec.json.decode(line, type=Entry).text)
        except JSON_ERRORS:
            continue
    return bounded(found)


def bounded(prompts: list[str]) -> list[str]:
    """The newest prompts without duplicates, as many as are kept."""
    kept: dict[str, None] = {}
    characters = 0
    for text in reversed(prompts):
        if not text or text in kept:
            continue
        characters += len(text)
        if len(kept) == PROMPTS_KEPT or characters > CHARACTERS_KEPT:
            break
        kept[text] = None
    return list(reversed(kept))


def remember(home: Path, text: str) -> list[str]:
    """Add a prompt at the end, without an earlier copy of it, and return all. Raises UserError if the file cannot be written."""
    prompts = bounded([*read_history(home), text])
    lines = b"".join(msgspec.json.encode(Entry(prompt.encode("utf-8", "replace").decode())) + b"\n" for prompt in prompts)
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_atomic(history_path(home), lines)
    except OSError as error:
        raise os_error_in_words(error, f"keep the prompt in {history_path(home)}") from error
    return prompts
