"""Translations: a language is a folder of `lab/translations`, and what it does not hold stays English.

    de/learn.po, de/data.po …  sentences of the screens and of the views, as gettext keeps them, in files by mode
    de/lessons/03-tokens.md    the words of a lesson, step by step; its live blocks stay those of the English file
    de/claims/01-vocabulary.md the words of a claim, without the fields that decide it
    de/quiz.md                 the questions of the quiz, with their choices and lessons in the same order
    de/terms.md                terms of the glossary, each under its English name

A sentence is translated where it is drawn: the engine, the commands and the files of a run speak English alone. So a msgid is
what stands on the English screen, with a name in braces for each part that changes, and no sentence needs a call of its own:

    msgid "{done} of {all} done"
    msgstr "{done} von {all} fertig"

A part that changes is kept as it is under a name of `DATA`; under one of `NUMBERS` it is a number; `{action}` is a sentence with
a msgid of its own. Under any other name it is a token, or a number, or words that have a msgid themselves. No text is translated
in part: where a phrase of it has no translation, all of it stays English.
"""

import json
import re
from collections.abc import Mapping
from functools import cache, lru_cache
from pathlib import Path

from lab.core.visible_text import visible

TRANSLATIONS = Path(__file__).parents[1] / "translations"
CATALOGUES = "*.po"
ENGLISH = "en"
LANGUAGE = "LLMLAB_LANG"
"""Name of the environment variable that chooses the language."""

_STRINGS = r'((?:"(?:[^"\\]|\\.)*"\s*)+)'
_ENTRY = re.compile(rf"^msgid {_STRINGS}^msgstr {_STRINGS}", re.MULTILINE)
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
_PLACE = re.compile(r"\{(\w+)\}")
_WHOLE_WORD = re.compile(r"(?<![\w{}])\w+(?![\w{}])")
"""A word that is whole, whatever stands for the names in braces."""
_PART = r"(?:“[^”]*”|“(?![^”]*”)|(?!“| · |[.!?:;] ).)+?"
"""What stands for a name in braces: part of one phrase, of one sentence. Tokens in quotation marks may be any."""
_COUNTS, _MEASURES = (
    "n all done sum other each right wrong bytes merges first",
    "share chance error result lead low high before after",
)
NUMBERS = frozenset(f"at next id rank seed u t {_COUNTS} {_MEASURES}".split())
"""Names in braces that stand for a number, as in "{n} merges": no word fits there, such as that of "a hundred merges"."""
_OWN = (
    "ref run runs name names text texts file path folder model base",
    "quote note typed command source host machine old new one two three pieces kinds changes term heading subheading",
)
DATA = frozenset(" ".join(_OWN).split())
"""Names in braces that stand for what is the user's: it is kept, even where it reads like words of the lab. But what is said of
a token in quotes, such as “a” (token 3), is words."""
_SAID = "action phase stage kind term heading subheading page title there most least panel next_panel last_panel"
WORDS = frozenset(_SAID.split())
"""Names in braces that stand for words of the lab, even for a single one, which is no token here."""
_QUOTED = re.compile('“[^”]*”?|"[^"]*"?')
_COMMON = re.compile(r"(?<![\w/.\-])[a-z]{2,}(?![\w/.\-])")
"""A common word, such as no name of a file or tensor is."""
_DIGITS = r"\d(?:\.(?![A-Za-z])|[^\s;:.])*"
_NUMBER = rf"[^\s\w]?(?:{_DIGITS}|∞|NaN)(?:, {_DIGITS})*?"
"""One number, or several after commas; `3.txt` is a file."""
_PLACE_IN_LAB = r"[A-Z]\w*(?: · [\w ,]+?)?"
_PARTS = dict.fromkeys(NUMBERS, _NUMBER) | {
    "place": _PLACE_IN_LAB,
    "action": r"(?:(?! · ).)+",
    "quote": r".+",
    "run": f"(?!the |this ){_PART}",
}
"""What stands for some names: a number, a place such as `Learn · lessons`, an action or a text, of several sentences perhaps, or
the name of a run, which has no article."""
_BETWEEN = [re.compile(f"({between})(?![^“]*”)") for between in (" · ", r"(?<=[.!?]) (?=\S)", "; ", ": ")]
"""Between the phrases of one line, the sentences of a text, and the parts of a sentence, the widest first; not in quotes."""
_WIDE_STOP = re.compile("(?<=[。！？；：]) |(?<=）) (?=[\u3000-\u9fff])")
"""The space after a sentence or a bracket, where a full-width sign stands in its place."""
_WIDE = re.compile("[\u3400-\u9fff]")
_WIDE_SIGNS = {"; ": "；", ": ": "："}
KEPT = 5_000
"""Texts whose translation is kept."""
LONGEST = 400
"""Characters of the longest text that is compared with patterns: one from outside may be made to take long."""
LONGEST_IN_ALL = 2_000
"""Characters of the longest text whose sentences are translated."""


def read_catalogue(text: str) -> dict[str, str]:
    """The translations in a catalogue by their English; "" has its header. Those marked as fuzzy are left out."""
    sure = re.sub(r"(?m)^#,.*fuzzy.*\n(?:#.*\n)*msgid", "#~ msgid", text)
    pairs = (["".join(map(json.loads, _STRING.findall(part))) for part in entry] for entry in _ENTRY.findall(sure))
    return {english: translation for english, translation in pairs if translation}


class Catalogue:
    """The sentences of a language."""

    def __init__(self, messages: Mapping[str, str]) -> None:
        with_places = sorted(filter(_PLACE.search, messages), key=lambda each: -len(_PLACE.sub("", each)))
        self.messages, self.fixed = messages, {each: own for each, own in messages.items() if not _PLACE.search(each)}
        self._by_word: dict[str, list[tuple[int, str]]] = {}
        """Sentences with places by the longest word of each, numbered: those with more letters of their own fit more exactly."""
        for rank, each in enumerate(with_places):
            self._by_word.setdefault(max(_WHOLE_WORD.findall(each), key=len, default=""), []).append((rank, each))
        english, own = ({word for each in texts for word in _COMMON.findall(each)} for texts in (messages, messages.values()))
        self._english = english - own
        """Words of the English sentences that stand in no translation."""
        self._whole = lru_cache(KEPT)(self._match)

    def translated(self, text: str) -> str:
        """The text in this language, else its phrases or its sentences where each of them has a translation."""
        if text in self.fixed or len(text) > LONGEST_IN_ALL:
            return self.fixed.get(text, text)
        if (whole := self._sentence(text)) is not None:
            return whole
        if text[:1].islower() and (whole := self._sentence(text[:1].upper() + text[1:])) is not None:
            return whole[:1].lower() + whole[1:]
        for between in _BETWEEN:
            parts = between.split(text)
            if len(parts) > 1:
                own = [*map(self.name, parts)]
                is_half = any(" " in part.strip() and part == each for part, each in zip(parts, own, strict=True))
                if is_half:
                    return text
                if _WIDE.search("".join(own)):
                    own = [_WIDE_SIGNS.get(part, part) for part in own]
                return _WIDE_STOP.sub("", "".join(own))
        return text

    def _sentence(self, text: str) -> str | None:
        """The translation of a text, or of one without the stop that it ends with."""
        if (whole := self._whole(text)) is not None or not text.endswith(".") or not (phrase := self._whole(text[:-1])):
            return whole
        return f"{phrase}{'。' if _WIDE.search(phrase) else '.'}"

    def _match(self, text: str) -> str | None:
        if text in self.fixed or len(text) > LONGEST:
            return self.fixed.get(text)
        near = sorted(each for word in {"", *re.findall(r"\w+", text)} for each in self._by_word.get(word, ()))
        for _, english in near:
            has_stop = not text.endswith(".") or not english.endswith("}") or english.endswith(("{action}", "{quote}"))
            match = _pattern(english).fullmatch(text) if has_stop else None
            if match and (own := self._places(match)) is not None:
                return _WIDE_STOP.sub("", _PLACE.sub(lambda place: own[place[1]], self.messages[english]))
        return None

    def _places(self, match: re.Match[str]) -> dict[str, str] | None:
        """The parts that stand for names, in this language; None where some of them are words without a translation."""
        own = {}
        for name, text in match.groupdict().items():
            is_data = name in DATA or name in NUMBERS
            own[name] = self.translated(text) if name in WORDS else text if is_data and text[:1] != "“" else self.name(text)
            is_quoted = match.string[match.start(name) - 1 : match.start(name)] == "“"
            if own[name] == text and not is_data and (name == "action" or (not is_quoted and self._is_english(text))):
                return None
        return own

    def _is_english(self, text: str) -> bool:
        """True for several words, some of which are English and of no other language."""
        return " " in text.strip() and not self._english.isdisjoint(_COMMON.findall(_QUOTED.sub("", text)))

    def name(self, text: str) -> str:
        """A name in this language; one of a single word may be a token, which is data, and is kept."""
        return self.translated(text) if " " in text.strip() else text


@cache
def _pattern(english: str) -> re.Pattern[str]:
    parts = _PLACE.split(english)
    groups = (f"(?P<{part}>{_PARTS.get(part, _PART)})" if at % 2 else re.escape(part) for at, part in enumerate(parts))
    return re.compile("".join(groups))


@cache
def catalogue(language: str) -> Catalogue:
    """The catalogue of a language."""
    return Catalogue(read_catalogue(catalogue_text(language)))


def catalogue_text(language: str) -> str:
    """The catalogues of a language, one behind the other."""
    return "\n".join(path.read_text(encoding="utf-8") for path in sorted((TRANSLATIONS / language).glob(CATALOGUES)))


@cache
def languages() -> dict[str, str]:
    """The languages there are by their codes, each with its own name for itself: `Language-Name` in a catalogue's header."""
    codes = sorted({path.parent.name for path in TRANSLATIONS.glob(f"*/{CATALOGUES}")})
    named = {code: re.search(r"Language-Name: (.+?)\\n", catalogue_text(code)) for code in codes}
    return {ENGLISH: "English"} | {code: match[1] if match else code for code, match in named.items()}


_in_use = ENGLISH


def language() -> str:
    """Code of the language in use."""
    return _in_use


def use_language(code: str) -> None:
    """Speak this language from now on; English where there is no such one."""
    global _in_use
    _in_use = code if code and code in languages() else ENGLISH


def asked_language(environ: Mapping[str, str]) -> str:
    """The language that the environment asks for, such as `de` where it says `de_AT.UTF-8`; "" if it asks for none."""
    return re.split(r"[_.\-@]", environ.get(LANGUAGE, "").strip())[0].lower()


def problem_of_language(environ: Mapping[str, str]) -> str:
    """A sentence where the environment asks for a language that there is not; else ""."""
    if not (asked := asked_language(environ)) or asked in languages():
        return ""
    there = ", ".join(f"{code} ({name})" for code, name in languages().items())
    return f"{LANGUAGE} asks for the language {visible(asked)}, which the lab does not have; it has {there}."


def translated(text: str) -> str:
    """A text of the screen in the language in use."""
    return text if _in_use == ENGLISH or not text else catalogue(_in_use).translated(text)


def translated_paragraphs(text: str) -> str:
    """Markdown in the language in use: each paragraph is a sentence of the catalogue, on one line, or stays as it is."""
    lines = [(each, " ".join(each.split())) for each in text.split("\n\n")]
    return "\n\n".join(own if (own := translated(line)) != line else paragraph for paragraph, line in lines)


def translated_name(text: str) -> str:
    """A name in the language in use, such as that of a row; a single word is kept, for it may be a token."""
    return text if _in_use == ENGLISH else catalogue(_in_use).name(text)


def translated_file(*parts: str) -> Path | None:
    """A file of the language in use, such as `lessons`, `03-tokens.md`; None where the English one is to be read."""
    path = TRANSLATIONS.joinpath(_in_use, *parts)
    return path if _in_use != ENGLISH and path.is_file() else None
