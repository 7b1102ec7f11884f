"""Classes of characters and languages of a text: the script of a letter, or what else it is; the language of each section.

Python's `unicodedata` has the general category and the name of each character, not its script. The script of a letter or mark is
read from the beginning of its name ("CYRILLIC SMALL LETTER A"), which is checked in a test for each script.

Languages are told by py3langid, a naive Bayes classifier over byte n-grams. A section is so many characters. Its language is one
that has `LEAST_CONFIDENCE` of the probability, if most of its signs are letters, as they are in prose and not in code, tables or
random bytes; otherwise it is unknown. The letters of the section's main script count for it, all others as unknown.
"""

import unicodedata
from collections import Counter
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lab.core.visible_text import visible

CODE_POINTS = 0x110000

SCRIPTS = (
    "Latin",
    "Cyrillic",
    "Greek",
    "Han",
    "Hiragana",
    "Katakana",
    "Hangul",
    "Arabic",
    "Hebrew",
    "Devanagari",
    "Bengali",
    "Tamil",
    "Telugu",
    "Thai",
    "Lao",
    "Khmer",
    "Myanmar",
    "Tibetan",
    "Georgian",
    "Armenian",
    "Ethiopic",
)
"""Scripts that are told apart; letters of any other are "other letters"."""
OTHERS = (
    "other letters",
    "combining marks",
    "digits",
    "punctuation",
    "symbols",
    "emoji",
    "spaces",
    "line ends",
    "invisible",
    "private or unassigned",
)
CLASSES = SCRIPTS + OTHERS
CLASS_NUMBER = {name: number for number, name in enumerate(CLASSES)}

UNSPACED = frozenset({"Han", "Hiragana", "Katakana", "Thai", "Lao", "Khmer", "Myanmar", "Tibetan"})
"""Scripts that are written without spaces between words."""

_NAME_STARTS = {
    "CJK": "Han",
    "KANGXI": "Han",
    "IDEOGRAPHIC": "Han",
    "HIRAGANA": "Hiragana",
    "KATAKANA": "Katakana",
    "HANGUL": "Hangul",
    **{name.upper(): name for name in SCRIPTS if name not in ("Han", "Hiragana", "Katakana", "Hangul")},
}
_WIDTHS = ("FULLWIDTH", "HALFWIDTH")
_EMOJI_BLOCKS = (
    (0x1F000, 0x1F0FF),
    (0x1F1E6, 0x1F1FF),
    (0x1F300, 0x1F64F),
    (0x1F680, 0x1F6FF),
    (0x1F7E0, 0x1F7EB),
    (0x1F900, 0x1FAFF),
)
"""Blocks of pictographs, mahjong tiles and cards, flags; of the older symbols (2600 to 27BF) all count as symbols."""
_OLD_EMOJI = frozenset(
    "⌚⌛⏩⏪⏫⏬⏰⏳☔☕♈♉♊♋♌♍♎♏♐♑♒♓♿⚓⚡⚪⚫⚽⚾⛄⛅⛎⛔⛪⛲⛳⛵⛺⛽✅✊✋✨❌❎❓❔❕❗❤➕➖➗➰➿⬛⬜⭐⭕"
)
"""Older symbols that are drawn as emoji by default (Emoji_Presentation), and the red heart."""

_CONTROL_NAMES = {
    "\0": "NUL",
    "\t": "tab",
    "\n": "newline",
    "\v": "vertical tab",
    "\f": "form feed",
    "\r": "carriage return",
    "\x1b": "escape",
    "\x7f": "delete",
    " ": "space",
    "\x85": "next line",
    "\N{NO-BREAK SPACE}": "no-break space",
}


def class_of(character: str) -> str:
    """The class of a character, one of `CLASSES`."""
    category = unicodedata.category(character)
    if character in "\n\r\v\f\x85\u2028\u2029":
        return "line ends"
    if category[0] == "L" or category[0] == "M":
        return _script(character) or ("combining marks" if category[0] == "M" else "other letters")
    if category == "Zs" or character == "\t":
        return "spaces"
    if category in ("Cc", "Cf"):
        return "invisible"
    if category[0] == "C":
        return "private or unassigned"
    if category[0] == "N":
        return _script(character) or "digits" if category == "Nl" else "digits"
    if category[0] == "P":
        return "punctuation"
    is_emoji = character in _OLD_EMOJI or any(first <= ord(character) <= last for first, last in _EMOJI_BLOCKS)
    return "emoji" if is_emoji else "symbols"


def _script(character: str) -> str:
    words = unicodedata.name(character, "").split(" ", 2)
    word = words[1] if words[0] in _WIDTHS and len(words) > 1 else words[0]
    return _NAME_STARTS.get(word.partition("-")[0], "")


def character_name(character: str) -> str:
    """The name of a character, in lower case: `newline`, `zero width joiner`, `latin small letter a`."""
    known = _CONTROL_NAMES.get(character)
    return known or unicodedata.name(character, "").lower() or f"unnamed, U+{ord(character):04X}"


def character_label(character: str) -> str:
    """A character as it is shown: itself, a visible stand-in, or where it has no shape of its own its code point."""
    if character == " ":
        return "␣"
    category = unicodedata.category(character)
    if category[0] == "M":
        return "◌" + character
    if category in ("Zs", "Cn", "Co", "Cs", "Cf") or (category == "Zl" or category == "Zp"):
        return f"U+{ord(character):04X}"
    return visible(character)


class CharacterTables:
    """Class, lower case and "belongs to a word" of code points, looked up for whole arrays; filled in as characters appear."""

    def __init__(self) -> None:
        self.classes: NDArray[np.uint8] = np.zeros(CODE_POINTS, np.uint8)
        self.lower: NDArray[np.uint32] = np.arange(CODE_POINTS, dtype=np.uint32)
        self.in_word: NDArray[np.bool_] = np.zeros(CODE_POINTS, np.bool_)
        """True for letters and marks of scripts that put spaces between words."""
        self.is_space: NDArray[np.bool_] = np.zeros(CODE_POINTS, np.bool_)
        """True for what `str.split` splits at."""
        self._known: NDArray[np.bool_] = np.zeros(CODE_POINTS, np.bool_)

    @property
    def known(self) -> NDArray[np.intp]:
        """The code points that the tables hold, in order."""
        return np.flatnonzero(self._known)

    def learn(self, codes: NDArray[np.intp]) -> None:
        """Fill in the tables for these distinct code points."""
        for code in codes[~self._known[codes]].tolist():
            self.classes[code], self.lower[code], self.in_word[code], self.is_space[code] = _facts_of(code)
            self._known[code] = True


@cache
def _facts_of(code: int) -> tuple[int, int, bool, bool]:
    character = chr(code)
    name = class_of(character)
    lower = character.lower()
    is_letter = unicodedata.category(character)[0] in "LM"
    return CLASS_NUMBER[name], ord(lower) if len(lower) == 1 else code, is_letter and name not in UNSPACED, character.isspace()


if TYPE_CHECKING:
    from py3langid.langid import LanguageIdentifier

SECTION_CHARACTERS = 500
MOST_SECTIONS = 512
"""Sections that are looked at, spread evenly over a longer text: 0.4 ms each."""
LEAST_CONFIDENCE = 0.8
LEAST_LETTERS = 12
"""Letters of a section below which nothing tells its language."""
LEAST_LETTER_SHARE, LEAST_EAST_SHARE = 0.85, 0.7
"""Share of the signs of prose that are letters. Chinese, Japanese and Korean have no long words between their punctuation."""
LEAST_FUNCTION_CHARACTERS = 0.05
"""Share of `CHINESE_FUNCTION_CHARACTERS` in Chinese text, which Han characters in no order do not have."""
CHINESE_FUNCTION_CHARACTERS = frozenset("的一是不了在人有我他這個个们中来上大为和国地到以說时時要就出会會也之其而者於曰所與与")
"""The commonest characters of Chinese, modern and classical."""

UNKNOWN = "unknown"
_NAMES = """
af:Afrikaans|am:Amharic|ar,ary,arz:Arabic|as:Assamese|az:Azerbaijani|ba:Bashkir|be:Belarusian|bg:Bulgarian|bn:Bengali|br:Breton
bs,hr,sr:Bosnian/Croatian/Serbian|ca:Catalan|cs:Czech|cy:Welsh|da:Danish|de:German|el:Greek|en:English|eo:Esperanto|es:Spanish
et:Estonian|eu:Basque|fa:Persian|fi:Finnish|fo:Faroese|fr:French|fy:Frisian|ga:Irish|gd:Scottish Gaelic|gl:Galician
grc:Ancient Greek|gu:Gujarati|gug:Guarani|ha:Hausa|hbo,he:Hebrew|hi:Hindi|ht:Haitian Creole|hu:Hungarian|hy:Armenian
id,ms:Indonesian/Malay|ig:Igbo|is:Icelandic|it:Italian|ja:Japanese|jv:Javanese|ka:Georgian|kk:Kazakh|km:Khmer|kn:Kannada
ko:Korean|ku:Kurdish|ky:Kyrgyz|la:Latin|lb:Luxembourgish|lg:Ganda|ln:Lingala|lo:Lao|lt:Lithuanian|lv:Latvian|mg:Malagasy
mk:Macedonian|ml:Malayalam|mn:Mongolian|mr:Marathi|mt:Maltese|my:Burmese|ne:Nepali|nl:Dutch|nn,no:Norwegian|nso,st:Sotho
oc:Occitan|om:Oromo|or:Odia|pa:Punjabi|pl:Polish|ps:Pashto|pt:Portuguese|qu:Quechua|ro:Romanian|ru:Russian|rw:Kinyarwanda
sa:Sanskrit|si:Sinhala|sk:Slovak|sl:Slovenian|sn:Shona|so:Somali|sq:Albanian|sv:Swedish|sw:Swahili|ta:Tamil|te:Telugu|tg:Tajik
th:Thai|tk:Turkmen|tl:Tagalog|tr:Turkish|tt:Tatar|ug:Uyghur|uk:Ukrainian|ur:Urdu|uz,uzs:Uzbek|vi:Vietnamese|wa:Walloon
wuu,zh:Chinese|xh:Xhosa|yo:Yoruba|yue:Cantonese|zu:Zulu
"""
"""Codes and names. Languages that cannot be told apart in a section have one name; py3langid's smallest have none, since more
text of their larger neighbours is taken for them than there is of their own."""
LANGUAGES = {
    code: name
    for entry in _NAMES.strip().replace("\n", "|").split("|")
    for codes, name in [entry.split(":")]
    for code in codes.split(",")
}
_EAST = frozenset({"Han", "Hiragana", "Katakana", "Hangul"})
_UNSEEN = ("spaces", "line ends", "invisible")
_class_of = cache(class_of)


class LanguageMix:
    """Fed with the blocks of a text in turn, keeps the sections that `letters` then looks at."""

    def __init__(self) -> None:
        self.spacing = 1
        """Every so many-th section is looked at."""
        self._kept: dict[int, str] = {}
        self._sections = 0
        self._rest = ""

    def add(self, block: str) -> None:
        """Add a block. What is left of the text at its end, less than two sections, is one section."""
        text, first = self._rest + block, self._sections
        self._sections += max(0, len(text) // SECTION_CHARACTERS - 1)
        number = -(-first // self.spacing) * self.spacing
        while number < self._sections:
            at = (number - first) * SECTION_CHARACTERS
            self._kept[number] = text[at : at + SECTION_CHARACTERS]
            if len(self._kept) > MOST_SECTIONS:
                self.spacing *= 2
                self._kept = {number: kept for number, kept in self._kept.items() if number % self.spacing == 0}
            number = (number // self.spacing + 1) * self.spacing
        self._rest = text[(self._sections - first) * SECTION_CHARACTERS :]

    def letters(self) -> tuple[tuple[str, int], ...]:
        """Each language with its letters in the sections, the most first and unknown ones last. The first time it
        takes about a second, for loading."""
        totals: Counter[str] = Counter()
        for section in (*self._kept.values(), *([self._rest] if self._sections % self.spacing == 0 else [])):
            classes = Counter(map(_class_of, section))
            scripts = Counter({script: classes[script] for script in (*SCRIPTS, "other letters") if script not in _EAST})
            scripts["East"] = sum(classes[script] for script in _EAST)
            main, letters = scripts.most_common(1)[0]
            signs = len(section) - sum(classes[unseen] for unseen in _UNSEEN)
            least = LEAST_EAST_SHARE if main == "East" else LEAST_LETTER_SHARE
            is_prose = letters >= LEAST_LETTERS and scripts.total() + classes["combining marks"] >= least * signs
            name = _language(_identifier().rank(section), section, classes["Han"]) if is_prose else UNKNOWN
            totals[name] += letters
            totals[UNKNOWN] += scripts.total() - letters
        found = [(name, count) for name, count in totals.items() if count]
        return tuple(sorted(found, key=lambda pair: (pair[0] == UNKNOWN, -pair[1], pair[0])))


@cache
def _identifier() -> "LanguageIdentifier":
    """The classifier. It takes 80 MB: a text is measured in a process of its own, which ends."""
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)


def _language(ranked: list[tuple[str, float]], section: str, han: int) -> str:
    """The language that has enough of the probability, languages of one name taken together."""
    confidence: dict[str, float] = {}
    for code, probability in ranked:
        name = LANGUAGES.get(code, UNKNOWN)
        confidence[name] = confidence.get(name, 0.0) + probability
    name = max(confidence, key=confidence.__getitem__)
    is_chinese = sum(map(CHINESE_FUNCTION_CHARACTERS.__contains__, section)) >= LEAST_FUNCTION_CHARACTERS * han
    return name if confidence[name] >= LEAST_CONFIDENCE and (is_chinese or name not in ("Chinese", "Cantonese")) else UNKNOWN
