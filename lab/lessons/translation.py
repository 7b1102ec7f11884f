"""Languages: what learners read is Markdown, and a language is a folder of the same files. The screens speak English.

A folder of `lab/translations`, such as `de`, has its files where the English ones lie in `lab/lessons`, those of exercises in
`exercises`, and `language.md`: its own name for itself, then for each word before a paragraph its own. A section names the
English one that it was made from:

    ## Erst Bytes, dann Paare <!-- Bytes first, then merges · 5d0a4c1e -->

The number is that of the English text, so that a section older than its English is shown with a line that says so. What has no
translation is English: a file, a section, and a section with other figures, keys or choices than the English one. Lines for the
lab, such as `experiment: vocabulary`, and live blocks stay those of the English; a translation has those that are words.
"""

import hashlib
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from lab.core.atomic_io import os_error_in_words
from lab.core.errors import UserError
from lab.core.visible_text import visible

LESSONS = Path(__file__).parent
TRANSLATIONS = LESSONS.parent / "translations"
ENGLISH = "en"
LANGUAGE = "LLMLAB_LANG"
"""Name of the environment variable that chooses the language."""
OLDER = "(This translation is older than the English text.)"

LARGEST_FILE = 1 << 20
LONGEST_NAME = 100
"""Characters: as many as the file of the progress keeps."""

_MADE_FROM = re.compile(r" *<!-- (?P<english>.+) · (?P<version>\w+) -->$")
_FIELDS = re.compile(r"\n*(?P<fields>(?:[a-z][a-z ]*: .+\n)+)\n*")
_LIVE = re.compile(r"(?ms)^(?P<fence>`{3,}|~{3,})(?P<widget>live \w[^\n]*)\n(?P<options>.*?)^(?P=fence)[ ]*$")
_WORDED = re.compile(r"(also|question|choice-\w|answer|why[\w-]*):")
"""Beginnings of the lines for the lab that are words."""
_MARKS = re.compile(r"\{[^{}]*\}|(?m:^- \[[ x]\]|^Lesson [a-z-]+:)")
"""What stands alike in every language: figures, keys, choices."""


@cache
def languages() -> dict[str, str]:
    """The languages there are by their codes, each with its own name for itself."""
    files = sorted(TRANSLATIONS.glob("*/language.md"))
    return {ENGLISH: "English"} | {path.parent.name: read_lesson_file(path).split("\n")[0] for path in files}


@cache
def own_words(code: str) -> dict[str, str]:
    """The words before a paragraph, such as `**Try:**`, with those of a language."""
    lines = read_lesson_file(TRANSLATIONS / code / "language.md").split("\n")[1:] if code != ENGLISH else []
    return dict(line.split(" ", 1) for line in lines if line)


_in_use = ENGLISH


def language() -> str:
    """Code of the language in use."""
    return _in_use


def use_language(code: str) -> None:
    """Read this language from now on; English where there is no such one."""
    global _in_use
    _in_use = code if code in languages() else ENGLISH


def asked_language(environ: Mapping[str, str]) -> str:
    """The language that the environment asks for, such as `de` where it says `de_AT.UTF-8`; "" if it asks for none."""
    return re.split(r"[_.\-@]", environ.get(LANGUAGE, "").strip())[0].lower()


def problem_of_language(environ: Mapping[str, str]) -> str:
    """A sentence where the environment asks for a language that there is not; else ""."""
    if not (asked := asked_language(environ)) or asked in languages():
        return ""
    there = ", ".join(f"{code} ({name})" for code, name in languages().items())
    return f"{LANGUAGE} asks for the language {visible(asked)}, which the lab does not have; it has {there}."


def read_in_language(path: Path, folder: Path = LESSONS, place: str = "", code: str = "") -> str:
    """The text of a file of `folder` in a language, by default that in use, which has it in its own `place`.

    Raises: as `read_lesson_file`.
    """
    english, code = read_lesson_file(path), code or language()
    if code == ENGLISH or not path.is_relative_to(folder):
        return english
    own = TRANSLATIONS / code / place / path.relative_to(folder)
    text = read_lesson_file(own) if own.is_file() else ""
    for word, other in own_words(code).items():
        text = text.replace(word, other)
    return overlaid(english, text)


def overlaid(english: str, own: str) -> str:
    """The English text with the sections of a translation in place of theirs; sections of one heading go by their order."""
    translated: dict[str, list[tuple[str, str, str]]] = {}
    for section in sections(own):
        heading, _, body = section.partition("\n")
        if match := _MADE_FROM.search(heading):
            level = heading.partition(" ")[0]
            found = (heading[: match.start()], body, match["version"])
            translated.setdefault(f"{level} {match['english']}", []).append(found)
    text = ""
    for section in sections(english):
        heading, _, body = section.partition("\n")
        if translated.get(heading):
            title, words, version = translated[heading].pop(0)
            older = "" if version == version_of(section) else OLDER
            merged = f"{title}\n{_in_words(body, words, older)}"
            section = merged if marks_of(merged) == marks_of(section) else section
        text += section
    return text


def sections(text: str) -> list[str]:
    """The parts of a file, each from its heading to the next."""
    return [part for part in re.split(r"(?m)^(?=##? )", text) if part]


def version_of(section: str) -> str:
    """The number of an English section: another one where its words are others."""
    return hashlib.blake2b(" ".join(section.split()).encode(), digest_size=4).hexdigest()


def marks_of(text: str) -> list[str]:
    """Figures and keys, in any order, and choices, which a translation has as the English does."""
    found: list[str] = _MARKS.findall(text)
    return sorted(found, key=lambda mark: mark if mark.startswith("{") else "")


def _in_words(english: str, own: str, older: str) -> str:
    """The body of a section in the words of its translation, with the English lines for the lab."""
    start, words = "", own
    if fields := _FIELDS.match(english):
        told = _FIELDS.match(own)
        before, after = english[: fields.start("fields")], english[fields.end("fields") : fields.end()]
        start = before + _told(fields["fields"], told["fields"] if told else "") + after
        words = own[told.end() :] if told else own.lstrip("\n")
    parts = [_LIVE.sub("", words).rstrip("\n"), older]
    if live := _LIVE.search(english):
        told = _LIVE.search(own)
        options = _told(live["options"], told["options"] if told else "")
        parts.append(f"{live['fence']}{live['widget']}\n{options}{live['fence']}")
    return start + "\n\n".join(filter(None, parts)) + "\n\n"


def _told(english: str, own: str) -> str:
    """Lines `name: text`, those that are words in the words of the translation."""
    told = {line.partition(":")[0]: line for line in own.splitlines() if _WORDED.match(line)}
    lines = [told.pop(line.partition(":")[0], line) for line in english.splitlines()]
    return "".join(f"{line}\n" for line in [*(line for name, line in told.items() if name == "also"), *lines])


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
