"""The history of prompts, newest last, and the last one of each run, in one small file of the home folder.

Nothing here needs torch.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from lab.core.atomic_io import folder_lock, os_error_in_words, write_atomic
from lab.core.errors import UserError
from lab.core.safe_open import JSON_ERRORS, make_private_folder, read_regular

PROMPTS_KEPT = 200
CHARACTERS_KEPT = 200_000
"""Of all prompts together: a pasted chapter may evict older prompts, but the file stays small."""
LARGEST_HISTORY = 64 << 20


class Entry(msgspec.Struct):
    """One line of the file; an object, so that later versions can add fields."""

    text: str
    runs: tuple[str, ...] = ()
    """The runs whose last prompt this is, by name or path."""


def history_path(home: Path) -> Path:
    return home / "prompts.jsonl"


def read_history(home: Path) -> list[str]:
    """The prompts, newest last; unreadable lines are skipped. Never fails."""
    return bounded([entry.text for entry in _read_entries(home)])


def last_prompt(home: Path, run: str) -> str:
    """The prompt that this run was inspected with last; "" if there is none. Never fails."""
    return next((entry.text for entry in reversed(_read_entries(home)) if run in entry.runs), "")


def _read_entries(home: Path) -> list[Entry]:
    """The lines of the file; none where it cannot be read."""
    try:
        return _entries(home)
    except UserError:
        return []


def _entries(home: Path) -> list[Entry]:
    """The lines of the file; none where there is none yet. Raises UserError if it cannot be read."""
    try:
        lines = read_regular(history_path(home), LARGEST_HISTORY, follow=True).splitlines()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise os_error_in_words(error, f"read the prompts in {history_path(home)}") from error
    found = []
    for line in lines:
        try:
            found.append(msgspec.json.decode(line, type=Entry))
        except JSON_ERRORS:
            continue
    return found


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


def remember(home: Path, text: str, run: str = "") -> list[str]:
    """Add a prompt at the end, without an earlier copy of it, as the last one of `run`, and return all.

    Raises UserError if the file cannot be read or written.
    """
    with _history_lock(home):
        entries = [Entry(entry.text, _without(entry.runs, run)) for entry in _entries(home)]
        runs = next((entry.runs for entry in reversed(entries) if entry.text == text), ())
        return _write(home, [*entries, Entry(text, (*runs, run) if run else runs)])


def rename_last_prompt(home: Path, before: str, now: str) -> None:
    """Give the last prompt of a run to its new name, or to none, after the run was renamed or deleted.

    Raises UserError if the file cannot be read or written.
    """
    with _history_lock(home):
        entries = _entries(home)
        if any(before in entry.runs for entry in entries):
            for entry in entries:
                if before in entry.runs:
                    entry.runs = (*_without(entry.runs, before), *((now,) if now else ()))
            _write(home, entries)


@contextmanager
def _history_lock(home: Path) -> Iterator[None]:
    """Lock of the file of prompts, whose folder is made if it is not there."""
    with suppress(OSError):  # reading or writing says what is wrong
        make_private_folder(home)
    with folder_lock(history_path(home).resolve().parent):
        yield


def _without(runs: tuple[str, ...], run: str) -> tuple[str, ...]:
    return tuple(each for each in runs if each != run)


def _write(home: Path, entries: list[Entry]) -> list[str]:
    """Write as many of the entries as are kept, and return their prompts."""
    prompts = bounded([entry.text for entry in entries])
    runs = {entry.text: entry.runs for entry in entries}
    kept = (Entry(prompt.encode("utf-8", "replace").decode(), runs[prompt]) for prompt in prompts)
    try:
        write_atomic(history_path(home).resolve(), b"".join(msgspec.json.encode(entry) + b"\n" for entry in kept))
    except OSError as error:
        raise os_error_in_words(error, f"keep the prompt in {history_path(home)}") from error
    return prompts
