"""Languages of texts that are known, and no claim where there is no evidence."""

import numpy as np
import pytest

from lab.data.statistics.language_mix import LANGUAGES, SECTION_CHARACTERS
from lab.data.statistics.stop_words import BY_SCRIPT, STOP_WORDS
from lab.data.statistics.stream_statistics import stream_statistics

PROSE = {
    "English": "It was the first time that she had been there, and all of them would have come with her if they could.",
    "German": "Es war das erste Mal, dass sie dort war, und alle wären mit ihr gekommen, wenn sie es nur gekonnt hätten.",
    "French": "C'était la première fois qu'elle venait dans cette ville, et tous les autres seraient venus avec elle.",
    "Spanish": "Era la primera vez que ella estaba en la ciudad, y todos los demás habrían venido con ella si no fuera tarde.",
    "Portuguese": "Era a primeira vez que ela estava na cidade, e todos os outros teriam vindo com ela se não fosse pelo frio.",
    "Italian": "Era la prima volta che lei era in città, e tutti gli altri sarebbero venuti con lei se non fosse per il freddo.",
    "Dutch": "Het was de eerste keer dat ze daar was, en al de anderen waren met haar meegekomen als het maar kon.",
    "Swedish": "Det var första gången som hon var där, och alla de andra hade kommit med henne om det bara inte var så kallt.",
    "Polish": "To był pierwszy raz, kiedy ona tam była, i nie wszyscy z nich przyszli do niej, bo było już bardzo zimno.",
    "Russian": "Это был первый раз, когда она была там, и все они не пришли бы с ней, если бы только не было так холодно.",
    "Ukrainian": "Це був перший раз, коли вона була там, і всі вони не прийшли б до неї, якби це не було так холодно.",
    "Greek": "Ήταν η πρώτη φορά που ήταν εκεί, και όλοι οι άλλοι θα είχαν έρθει μαζί της.",
    "Japanese": "吾輩は猫である。名前はまだ無い。どこで生れたかとんと見当がつかぬ。",
    "Chinese": "学而时习之不亦说乎有朋自远方来不亦乐乎人不知而不愠不亦君子乎",
    "Korean": "나는 고양이로소이다. 이름은 아직 없다. 어디서 태어났는지 전혀 모른다.",
}
EVIDENCE_OF_NONE = {
    "names": "Anna Berlin Carlos Dubrovnik Elena Firenze Gustav Helsinki Ivan Jakarta Karin Lisboa " * 3,
    "code": "x1 = foo(bar, baz); return qux[idx] + spam.eggs(ham) << shift | mask ^ flag\n" * 5,
    "hex": "deadbeef cafebabe 0badf00d feedface 8badf00d " * 9,
    "a few letters": "ok",
    "Han characters in no order": "鱷魚龜鑼鼓鐵釘鑽石鍋爐鎖鏈鋼琴鋸齒鎮鎧甲鑰匙鏡框",
    "digits": "12345 67890\n" * 20,
}


def languages(text: str) -> dict[str, int]:
    *_, last = stream_statistics(lambda: [(text, len(text), True)], len(text), lambda progress: False)
    return {share.language: share.letters for share in last.languages}


@pytest.mark.parametrize("language", PROSE)
def test_prose_is_told_by_its_language(language: str) -> None:
    assert next(iter(languages(PROSE[language]))) == language


@pytest.mark.parametrize("kind", EVIDENCE_OF_NONE)
def test_no_language_is_claimed_without_evidence(kind: str) -> None:
    assert set(languages(EVIDENCE_OF_NONE[kind])) <= {"unknown"}


def test_sections_are_told_one_by_one_and_letters_add_up() -> None:
    english, german = PROSE["English"] + " ", PROSE["German"] + " "
    one = (english * 40)[:SECTION_CHARACTERS]
    two = (german * 40)[:SECTION_CHARACTERS]
    found = languages(one + two + one + "αβγ" * 2)
    letters = {name: sum(map(str.isalpha, text)) for name, text in (("English", one + one), ("German", two))}
    assert found == letters | {"unknown": 6}


def test_every_language_has_a_script_and_words_of_its_own() -> None:
    assert len(LANGUAGES) == len(set(LANGUAGES))
    assert not set(STOP_WORDS) & set(BY_SCRIPT.values())
    for language, (script, words) in STOP_WORDS.items():
        others = {word for other, (_, listed) in STOP_WORDS.items() if other != language for word in listed.split()}
        assert len(set(words.split()) - others) >= 10, language
        assert script in ("Latin", "Cyrillic", "Arabic", "Devanagari")
        assert all(word == word.lower() for word in words.split())
    assert np.isfinite(SECTION_CHARACTERS)
