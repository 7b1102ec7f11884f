"""Lessons, claims and the glossary in other languages: only words differ, and what a language does not have is English."""

import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.cells import cell_len

from lab.core import translation
from lab.core.errors import UserError
from lab.core.translation import TRANSLATIONS, languages, use_language
from lab.experiments.experiment_registry import EXPERIMENTS
from lab.lessons.claim import load_claims
from lab.lessons.conditions import names_in, parse_experiment_guess
from lab.lessons.glossary.glossary import glossary
from lab.lessons.learner.predictions import QUIZ, LearnerPrediction
from lab.lessons.learner.quiz import FILE, quiz, results_of, source_of
from lab.lessons.lesson import WORDED, Lesson, claim_titles, lessons, lessons_and_problems

CODES = sorted(languages().keys() - {"en"})
ENGLISH = {lesson.name: lesson for lesson in lessons()}


@pytest.fixture
def speak(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Use a language until the test ends."""
    monkeypatch.setattr(translation, "_in_use", "en")
    return use_language


MARKS = re.compile(r"\{key:[\w.]+\}|`[^`]+`|\*\*(?:Try|Remember):\*\*")
"""What stands alike in the text of a step in every language: keys by their actions, code, and the words before a paragraph."""


@pytest.mark.parametrize("code", CODES)
def test_a_translated_lesson_has_the_steps_keys_figures_and_live_widgets_of_the_english_one(
    code: str, speak: Callable[[str], None]
) -> None:
    speak(code)
    translated = {path.stem.partition("-")[2] for path in (TRANSLATIONS / code / "lessons").glob("*.md")}
    assert {"whole-path", "cleaning", "tokens"} <= translated
    for lesson in lessons():
        english = ENGLISH[lesson.name]
        assert (lesson.number, len(lesson.steps)) == (english.number, len(english.steps))
        if lesson.name not in translated:
            assert lesson == english
            continue
        assert lesson.title != english.title
        assert cell_len(lesson.title) < 45
        for step, same in zip(lesson.steps, english.steps, strict=True):
            assert Counter(MARKS.findall(step.text)) == Counter(MARKS.findall(same.text)), step.title
            assert cell_len(step.title) <= 33, "it stands beside the lesson's title"
            if same.live is None:
                assert step.live is None
                continue
            assert step.live is not None
            assert (step.live.widget, step.live.options) == (same.live.widget, same.live.options)
            worded = {name: text for name, text in same.live.options.items() if name.startswith(WORDED)}
            assert step.live.words.keys() == worded.keys(), "each option that is words"
            assert all(names_in(step.live.words[name]) == names_in(text) for name, text in worded.items())
            if step.live.widget == "predict-experiment":
                parse_experiment_guess(step.live.options | step.live.words, EXPERIMENTS)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a language of the test's own, `xx`."""
    monkeypatch.setattr(translation, "TRANSLATIONS", tmp_path)
    for cached in (translation.languages, translation.catalogue):
        cached.cache_clear()
    folder = tmp_path / "xx"
    (folder / "lessons").mkdir(parents=True)
    (folder / "claims").mkdir()
    (folder / "learn.po").write_text('msgid ""\nmsgstr "Language-Name: Xish\\n"\n')
    yield folder  # type: ignore[misc]
    for cached in (translation.languages, translation.catalogue):
        cached.cache_clear()


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("# Titel\nEins.\n", "has 1 steps, and the lesson"),
        ("# Titel\n```live stage\nstage: tokens\n```\n" + "\n## S\nText." * 5, "step '': a live block names"),
        ("# Titel\n```live experiment\nname: other\n```\n" + "\n## S\nText." * 5, "step '': a live block names"),
    ],
    ids=["steps", "widget", "option"],
)
def test_a_translation_that_does_not_fit_is_told_and_the_english_lesson_stays(
    text: str, problem: str, folder: Path, speak: Callable[[str], None]
) -> None:
    (folder / "lessons" / "01-whole-path.md").write_text(text)
    speak("xx")
    found, problems = lessons_and_problems()
    assert [problem in each for each in problems] == [True]
    assert found == list(ENGLISH.values())


def test_claims_and_terms_are_in_the_language_and_found_by_both_names(folder: Path, speak: Callable[[str], None]) -> None:
    english = {claim.name: claim for claim in load_claims()}
    (folder / "claims" / "01-vocabulary.md").write_text(
        "# Titel\n\nErklärung mit {vocabulary}.\n\n## Not so\nNein.\n\n## Write instead\nBesser.\n"
    )
    (folder / "terms.md").write_text("# Begriffe\n\n## logit\nalso: Wert\nDer Wert eines Tokens.\n")
    speak("xx")
    claims = {claim.name: claim for claim in load_claims()}
    own, same = claims.pop("vocabulary"), english.pop("vocabulary")
    assert (own.title, own.instead, own.by_verdict) == ("Titel", "Besser.", {"not so": "Nein."})
    assert (own.experiment, own.conditions, own.sources) == (same.experiment, same.conditions, same.sources)
    assert claims == english
    assert claim_titles()["vocabulary"] == "Titel"
    term = next(term for term in glossary() if term.name == "Wert")
    assert term.text == "Der Wert eines Tokens."
    assert {"logit", "logits"} <= set(term.also)
    (folder / "terms.md").write_text("# Begriffe\n\n## nothing\nalso: Wert\nText.\n")
    from lab.lessons.glossary.glossary import _glossary

    _glossary.cache_clear()
    with pytest.raises(UserError, match=r"The term nothing in .* needs an English term"):
        glossary()
    _glossary.cache_clear()


def test_the_quiz_is_asked_in_the_language_and_an_answer_counts_once_in_all(folder: Path, speak: Callable[[str], None]) -> None:
    english, text = quiz(), FILE.read_text("utf-8")
    (folder / FILE.name).write_text(text.replace("## ", "## Frage: ").replace("Lesson 6: ", "Lesson 6: Grund: "))
    assert quiz() == english
    speak("xx")
    first = quiz()[0]
    assert (first.question, first.why) == (f"Frage: {english[0].question}", f"Grund: {english[0].why}")
    asked = first.ask(1, 12)
    answer = LearnerPrediction(1.0, QUIZ, asked.question, first.choices, 1, asked.right, source_of(1), identity=asked.identity)
    assert results_of([answer], quiz()).rounds == ({first: 1},)
    assert results_of([answer], english).rounds == ({english[0]: 1},)
    (folder / FILE.name).write_text(text.replace("Lesson 6: ", "Lesson 7: "))
    with pytest.raises(UserError, match=r"quiz\.md of the quiz has other questions, choices or lessons"):
        quiz()


@pytest.mark.parametrize("code", CODES)
def test_terms_are_translated_in_the_form_of_the_glossary(code: str, speak: Callable[[str], None]) -> None:
    english = {term.name: term for term in glossary()}
    speak(code)
    own = [term for term in glossary() if english.get(term.name) != term]
    assert len(own) >= 10
    assert all(set(term.also) & english.keys() or term.name in english for term in own)


def test_the_english_lessons_are_what_they_were(speak: Callable[[str], None]) -> None:
    speak("there is no such language")
    assert {lesson.name: lesson for lesson in lessons()} == ENGLISH
    assert isinstance(next(iter(ENGLISH.values())), Lesson)
