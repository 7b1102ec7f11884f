"""Translations: the reader of catalogues against Babel's, the sentences that fit, and catalogues in step with the product."""

import ast
import re
from collections import Counter
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

import pytest
from babel.messages.pofile import read_po

from lab.core.translation import (
    CATALOGUES,
    TRANSLATIONS,
    Catalogue,
    asked_language,
    catalogue,
    catalogue_text,
    languages,
    problem_of_language,
    read_catalogue,
)
from tests.test_rooms import PATHS

CODES = sorted(languages().keys() - {"en"})
PLACE = re.compile(r"\{\w+\}")

TRICKY = r"""msgid ""
msgstr "Content-Type: text/plain; charset=UTF-8\n"

# a comment
#: screens/app.py:1
msgid "a \"quoted\" word\n"
msgstr "ein "
"\"Wort\"\n"
#, fuzzy
msgid "not sure"
msgstr "unsicher"
msgid "none yet"
msgstr ""
#~ msgid "gone"
#~ msgstr "weg"
msgid "last"
msgstr "letzte"
"""


@pytest.mark.parametrize("text", [TRICKY, *(path.read_text("utf-8") for path in TRANSLATIONS.glob(f"*/{CATALOGUES}"))])
def test_a_catalogue_is_read_as_babel_reads_it(text: str) -> None:
    found = {str(each.id): each.string for each in read_po(StringIO(text)) if each.id and each.string and not each.fuzzy}
    assert {english: own for english, own in read_catalogue(text).items() if english} == found
    assert found


CATALOGUE_OF_TESTS = Catalogue(
    {
        "{done} of {all} done": "{done} von {all} fertig",
        "step {at}": "Schritt {at}",
        "model: {name}": "Modell: {name}",
        "model: {name}, step {at}": "Modell: {name}, Schritt {at}",
        "guess": "Tipp",
        "guess · answer": "Tipp · Antwort",
        "All right.": "Richtig.",
        "The next step": "Der nächste Schritt",
        "duplicate lines": "doppelte Zeilen",
        "[x] {rule}": "[x] {rule}",
        "{name} ends.": "{name} endet.",
        "It begins.": "开始。",
        "It goes on with {n} steps": "继续 {n} 步",
        "Learning: {action}": "Es lernt: {action}",
        "{action}, by hand": "{action}, von Hand",
        "goes to {place}": "führt zu {place}",
        "goes to {place}, key {key} there": "führt zu {place}, dort Taste {key}",
        "Learn · lessons": "Learn · Lektionen",
        "Learn · lessons: {action}": "Learn · Lektionen: {action}",
        "After {token} comes {best}.": "在 {token} 之后是 {best}。",
        "{token} (token {n})": "{token}（第 {n} 个）",
        "watches {run}: {phase}, step {at}": "beobachtet {run}: {phase}, Schritt {at}",
        "prompt: {quote}": "Vorgabe: {quote}",
        "x restores {part}": "x stellt {part} wieder her",
    }
)


@pytest.mark.parametrize(
    ("english", "own"),
    [
        ("guess", "Tipp"),
        ("", ""),
        ("nothing like it", "nothing like it"),
        ("3 of 16 done", "3 von 16 fertig"),
        ("guess · answer", "Tipp · Antwort"),
        ("model: demo, step 6,000 · m · step 2/6", "Modell: demo, Schritt 6,000 · m · Schritt 2/6"),
        ("the next step", "der nächste Schritt"),
        ("[x] duplicate lines", "[x] doppelte Zeilen"),  # a name of several words within
        ("All right. guess", "Richtig. guess"),  # a word alone, among others, may be a token
        ("All right. Other words. guess", "All right. Other words. guess"),  # a text is translated whole, or stays whole
        ("the next step; duplicate lines", "der nächste Schritt; doppelte Zeilen"),
        ("the next step; some other words", "the next step; some other words"),  # a sentence, half of which is not there
        ("It begins. demo ends.", "开始。demo endet."),
        ("The next step.", "Der nächste Schritt."),  # a phrase that is a sentence
        ("It goes on with 3.5 steps.", "继续 3.5 步。"),
        ("It goes on with 3 steps; demo ends.", "继续 3 步；demo endet."),
        (" ".join(["All right. demo ends."] * 50), " ".join(["Richtig. demo endet."] * 50)),  # of many sentences
        ("Learning: the next step, by hand", "Es lernt: der nächste Schritt, von Hand"),
        ("The dog ran. demo ends.", "The dog ran. demo ends."),  # a place is within one sentence
        ("After “. Rex ran” comes “: ”. demo ends.", "在 “. Rex ran” 之后是 “: ”。demo endet."),  # but one in quotes is data
        ("After “a” (token 3) comes “b”.", "在 “a”（第 3 个）之后是 “b”。"),
        ("3 of 16 done {x}", "3 of 16 done {x}"),
        ("Most of 16 done", "Most of 16 done"),  # a number is not a word
        ("earlier of all done", "earlier of all done"),
        ("16 of 16 done · some other words", "16 of 16 done · some other words"),
        ("The next step; the next step", "Der nächste Schritt; der nächste Schritt"),
        ("goes to Learn · lessons, key a there", "führt zu Learn · Lektionen, dort Taste a"),
        ("goes to Inspect · tokens", "führt zu Inspect · tokens"),
        ("Learn · lessons: The next step", "Learn · Lektionen: Der nächste Schritt"),
        ("watches guess: guess, step 3", "beobachtet guess: Tipp, Schritt 3"),  # a run, and the word of the lab for its state
        ("watches step 2: guess, step 3", "beobachtet step 2: Tipp, Schritt 3"),
        ("prompt: The next step", "Vorgabe: The next step"),
        ("prompt: The dog ran. All right.", "Vorgabe: The dog ran. All right."),
        ("step 3.txt", "step 3.txt"),  # a file
        ("model: step 3.txt", "Modell: step 3.txt"),
        ("x restores the next step", "x stellt der nächste Schritt wieder her"),
        ("x restores step 2 with all others", "x restores step 2 with all others"),  # half of it would stay English
        ("x restores blocks.0 2.5 MB", "x stellt blocks.0 2.5 MB wieder her"),
        ("Learn · lessons: Some other words", "Learn · lessons: Some other words"),  # an action that is not there
    ],
)
def test_a_sentence_is_translated_whole_or_part_by_part_and_data_stays(english: str, own: str) -> None:
    assert CATALOGUE_OF_TESTS.translated(english) == own
    assert CATALOGUE_OF_TESTS.name("guess") == "guess"


@pytest.mark.parametrize(
    ("english", "german"),
    [
        ("Make ten merges; make a hundred merges", "Zehn Verschmelzungen; hundert Verschmelzungen"),
        ("The next page; the page before", "Die nächste Seite; die Seite davor"),
        ("Train: Pan to later moons", "Train: Pan to later moons"),
        ("goes to Learn · lessons, key a there", "führt zu Learn · Lektionen, dort Taste a"),
        ("Learn · lessons: Read the lesson", "Learn · Lektionen: Die Lektion lesen"),
        (
            "Learn · lessons: Inspect this: the full screen with the same state",
            "Learn · Lektionen: In Inspect öffnen: dieselbe Stelle auf dem ganzen Bildschirm",
        ),
        ("Delete bard", "bard löschen"),
        ("Delete the head of bard", "Delete the head of bard"),
        ("layer 4 · residual add after the MLP", "Schicht 4 · Residual-Addition nach dem MLP"),
        ("layer 4 · some other words", "layer 4 · some other words"),
        ("sure and wrong: a guess again in lesson 3, 5 · a", "sicher und falsch: noch einmal raten in Lektion 3, 5 · a"),
        ("left: 3 steps · space opens lesson 4", "offen: 3 Schritte · space: Lektion 4"),
        (
            "Learning: from step 34 to 45 the training loss went from 5.22 to 4.99; the validation loss was 5.06 at step 40. "
            "No overfitting yet (val − train +0.02, val not rising), 0.66 nats above bigram.",
            "Es lernt: von Schritt 34 bis 45 ging der Trainings-Loss von 5.22 auf 4.99; der Validierungs-Loss war 5.06 bei "
            "Schritt 40. Noch kein Overfitting (Val − Train +0.02, Val steigt nicht), 0.66 Nats über bigram.",
        ),
    ],
)
def test_a_sentence_of_the_product_is_german_or_english(english: str, german: str) -> None:
    assert catalogue("de").translated(english) == german


@pytest.mark.parametrize(("asked", "code"), [("", ""), ("de", "de"), ("de_AT.UTF-8", "de"), ("zh-Hans", "zh"), ("EN", "en")])
def test_the_environment_asks_for_a_language(asked: str, code: str) -> None:
    assert asked_language({"LLMLAB_LANG": asked}) == code
    assert problem_of_language({"LLMLAB_LANG": asked}) == ""


def test_a_language_that_is_not_there_is_a_sentence() -> None:
    problem = problem_of_language({"LLMLAB_LANG": "xx_YY"})
    assert re.fullmatch(r"LLMLAB_LANG asks for the language xx, which .* de \(Deutsch\), zh \(中文\)\.", problem)


def words_of(text: str) -> set[str]:
    return {word.removesuffix("s") for word in re.findall(r"[a-z]{3,}", text.casefold())}


def words_by_folder() -> Iterator[set[str]]:
    """The words of all texts in the code of each folder."""
    found: dict[Path, set[str]] = {}
    for path in PATHS.values():
        texts = (node.value for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.Constant))
        found.setdefault(path.parent, set()).update(*(words_of(text) for text in texts if isinstance(text, str)))
    return iter(found.values())


def test_a_msgid_is_still_said_by_the_product() -> None:
    """Else the English has changed, and the translation would never be shown. A sentence is said by the code of one folder."""
    said = list(words_by_folder())
    for english in read_catalogue(catalogue_text(CODES[0])).keys() - {""}:
        for part in PLACE.sub(" ", english).split(": "):
            assert any(words_of(part) <= words for words in said), part


@pytest.mark.parametrize("code", CODES)
def test_a_translation_has_the_places_of_its_english(code: str) -> None:
    for english, own in read_catalogue(catalogue_text(code)).items():
        assert not english or sorted(PLACE.findall(english)) == sorted(PLACE.findall(own)), english


def test_all_languages_translate_the_same() -> None:
    found = {code: {path.name: path.read_text("utf-8") for path in (TRANSLATIONS / code).glob(CATALOGUES)} for code in CODES}
    sentences = {code: {name: [*read_catalogue(text)] for name, text in texts.items()} for code, texts in found.items()}
    first, *others = sentences.values()
    assert all(each == first for each in others)
    said = Counter(sentence for catalogue in first.values() for sentence in catalogue if sentence)
    assert max(said.values()) == 1, "a sentence stands in one catalogue"


def test_a_folder_holds_nothing_that_is_not_in_english() -> None:
    lessons = Path(__file__).parents[3] / "lab" / "lessons"
    names = {path.name for path in lessons.rglob("*.md")}
    assert {path.name for code in CODES for path in (TRANSLATIONS / code).rglob("*.md")} <= names


@pytest.mark.parametrize("code", CODES)
def test_a_text_made_of_the_pieces_of_sentences_ends(code: str) -> None:
    """One from outside may be on screen, too: however often the pieces stand in it, no translation goes too deep."""
    found = catalogue(code)
    for piece in {max(PLACE.split(each), key=len) for each in read_catalogue(catalogue_text(code)) if PLACE.search(each)}:
        for length in (350, 400, 4000):
            assert found.translated((piece * length)[:length])
