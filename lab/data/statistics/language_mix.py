"""The languages of a text, section by section, as py3langid tells them: a naive Bayes classifier over byte n-grams.

A section is so many characters. Its language is one that has `LEAST_CONFIDENCE` of the probability, if most of the section's
signs are letters, as they are in prose and not in code, tables or random bytes; otherwise it is unknown. The letters of the
section's main script count for the language, all other letters as unknown.
"""

from collections import Counter
from functools import cache
from typing import TYPE_CHECKING

from lab.data.statistics.character_classes import SCRIPTS, class_of

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
