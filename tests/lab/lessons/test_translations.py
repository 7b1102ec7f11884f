"""Lessons, claims, quiz and glossary in other languages: only words differ, and what a language does not have is English."""

import ast
import re
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from rich.cells import cell_len

from lab.exercises.exercise import NAMES, TASKS, words_of
from lab.lessons import translation
from lab.lessons.claim import load_claims
from lab.lessons.conditions import names_in, parse_experiment_guess
from lab.lessons.glossary import _glossary, glossary
from lab.lessons.guess_score import QUIZ, LearnerPrediction
from lab.lessons.lesson import CLAIMS, lessons, titles
from lab.lessons.quiz import FILE, quiz, results_of, source_of
from lab.lessons.translation import (
    LESSONS,
    OLDER,
    TRANSLATIONS,
    asked_language,
    languages,
    overlaid,
    own_words,
    problem_of_language,
    sections,
    use_language,
    version_of,
)

CODES = sorted(languages().keys() - {"en"})
FILES = [path for path in sorted(TRANSLATIONS.glob("*/**/*.md")) if path.name != "language.md"]
ENGLISH = {lesson.name: lesson for lesson in lessons()}
MADE_FROM = re.compile(r"(#+) .+ <!-- (.+) · (\w{8}) -->")


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Use a language until the test ends."""
    monkeypatch.setattr(translation, "_in_use", "en")
    return use_language


@pytest.mark.parametrize(("asked", "code"), [("", ""), ("de", "de"), ("de_AT.UTF-8", "de"), ("zh-Hans", "zh"), ("EN", "en")])
def test_the_environment_asks_for_a_language(asked: str, code: str) -> None:
    assert asked_language({"LLMLAB_LANG": asked}) == code
    assert problem_of_language({"LLMLAB_LANG": asked}) == ""


def test_a_language_that_is_not_there_is_a_sentence() -> None:
    problem = problem_of_language({"LLMLAB_LANG": "xx_YY"})
    assert re.fullmatch(r"LLMLAB_LANG asks for the language xx, which .* de \(Deutsch\), zh \(中文\)\.", problem)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(TRANSLATIONS)))
def test_each_section_is_made_from_one_of_the_english_file_and_those_that_are_older_are_listed(path: Path) -> None:
    place = path.relative_to(TRANSLATIONS).parts[1:]
    source = TASKS / path.name if place[0] == "exercises" else LESSONS.joinpath(*place)
    english: dict[str, list[str]] = {}
    for section in sections(source.read_text("utf-8")):
        english.setdefault(section.partition("\n")[0], []).append(version_of(section))
    for section in sections(path.read_text("utf-8")):
        heading = section.partition("\n")[0]
        made = MADE_FROM.fullmatch(heading)
        assert made, f"{heading} names no English section"
        versions = english.get(f"{made[1]} {made[2]}") or [""]
        if made[3] != (version := versions.pop(0)):
            warnings.warn(f"{path.relative_to(TRANSLATIONS)}: {heading} is older than the English, {version}", stacklevel=1)


MARKS = re.compile(r"\{key:[\w.]+\}|`[^`]+`")
"""What stands alike in the text of a step in every language: keys by their actions, and code."""


@pytest.mark.parametrize("code", CODES)
def test_a_translated_lesson_has_the_steps_keys_figures_and_live_widgets_of_the_english_one(
    code: str, use: Callable[[str], None]
) -> None:
    use(code)
    translated = {lesson.name: lesson for lesson in lessons() if lesson != ENGLISH[lesson.name]}
    assert {"whole-path", "cleaning", "tokens"} <= translated.keys()
    for name, lesson in translated.items():
        assert len(lesson.steps) == len(ENGLISH[name].steps)
        assert cell_len(lesson.title) < 45
        for step, same in zip(lesson.steps, ENGLISH[name].steps, strict=True):
            assert Counter(MARKS.findall(step.text)) == Counter(MARKS.findall(same.text)), step.title
            assert step.text.count("**Try:**") == 0 < len(own_words(code))
            assert cell_len(step.title) <= 33, "it stands beside the lesson's title"
            if step.live and same.live and step.live.words:
                assert (step.live.widget, step.live.options) == (same.live.widget, same.live.options)
                assert step.live.words.keys() == same.live.options.keys()
                for option, text in same.live.options.items():
                    assert names_in(step.live.words[option]) == names_in(text)
                of_study = {"experiment": step.live.options["study"]} if "study" in step.live.options else {}
                parse_experiment_guess({**step.live.words, **of_study})


@pytest.mark.parametrize("path", sorted(LESSONS.rglob("*.md")), ids=lambda path: path.stem)
def test_a_file_over_itself_is_the_same_and_one_of_another_version_says_so(path: Path) -> None:
    english = path.read_text("utf-8")
    headings = [each.partition("\n")[0] for each in sections(english)]
    assert len(set(headings)) == len(headings), "a section is known by its heading"

    def made(text: str, version: str) -> str:
        return re.sub(r"(?m)^(##? )(.+)$", lambda found: f"{found[0]} <!-- {found[2]} · {version} -->", text)

    same = "".join(made(each, version_of(each)) for each in sections(english))
    assert " ".join(overlaid(english, same).split()) == " ".join(english.split())
    assert overlaid(english, made(english, "0")).count(OLDER) == len(headings)


@pytest.mark.parametrize("code", CODES)
def test_an_exercise_differs_in_words_only(code: str, use: Callable[[str], None]) -> None:
    english = {name: words_of(name) for name in NAMES}
    use(code)
    for name, same in english.items():
        words = words_of(name)
        assert (words.lesson, words.solution, words.faults) == (same.lesson, same.solution, same.faults), name
        assert code_of(words.template) == code_of(same.template), name
        assert [Counter(MARKS.findall(hint)) for hint in words.told] == [Counter(MARKS.findall(hint)) for hint in same.told], name
        assert (words.text != same.text) is (TRANSLATIONS / code / "exercises" / f"{name}.md").is_file(), name
        assert all(len(line) <= 130 for line in words.template.split("\n")), name


def code_of(template: str) -> str:
    """The code of a template without what its function says of itself."""
    tree = ast.parse(template)
    function = tree.body[-1]
    assert isinstance(function, ast.FunctionDef)
    del function.body[0]
    return ast.unparse(tree)


ONE = "# Title\n\nWords with {figure}.\n\n## Next\n\n- [x] yes\n- [ ] no\n"


@pytest.mark.parametrize(
    ("own", "shown"),
    [
        ("# Titel <!-- Title · 1 -->\n\nWorte mit {figure}.\n", f"# Titel\n\nWorte mit {{figure}}.\n\n{OLDER}\n\n## Next"),
        ("# Titel <!-- Title · 1 -->\n\nWorte.\n", "# Title\n\nWords with {figure}."),
        ("# Titel <!-- Old title · 1 -->\n\nWorte mit {figure}.\n", "# Title\n\nWords with {figure}."),
        ("# Titel\n\nWorte mit {figure}.\n", "# Title\n\nWords with {figure}."),
        ("## Dann <!-- Next · 1 -->\n\n- [x] ja\n- [ ] nein\n", f"## Dann\n\n- [x] ja\n- [ ] nein\n\n{OLDER}"),
        ("## Dann <!-- Next · 1 -->\n\n- [ ] ja\n- [x] nein\n", "## Next\n\n- [x] yes\n- [ ] no\n"),
    ],
    ids=["older", "figure gone", "renamed", "of none", "choices", "another choice"],
)
def test_a_section_that_fits_is_shown_and_else_the_english_one(own: str, shown: str) -> None:
    assert shown in overlaid(ONE, own)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of a language of the test's own, `xx`."""
    monkeypatch.setattr(translation, "TRANSLATIONS", tmp_path)
    folder = tmp_path / "xx"
    (folder / "claims" / "text").mkdir(parents=True)
    (folder / "language.md").write_text("Xish\n**Try:** **Xtry:**\n**Remember:** **Xremember:**\n")
    caches = (languages, own_words, _glossary)
    for each in caches:
        each.cache_clear()
    yield folder
    for each in caches:
        each.cache_clear()


def test_claims_and_terms_are_in_the_language_and_found_by_both_names(folder: Path, use: Callable[[str], None]) -> None:
    english = {claim.name: claim for claim in load_claims()}
    title = english["vocabulary"].title
    use("xx")
    (folder / "claims" / "text" / "01-vocabulary.md").write_text(
        f"# Titel <!-- {title} · 1 -->\n\n{{single_bytes}} {{merges}} {{special}} {{vocabulary}}\n\n{{own_vocabulary}}\n\n"
        "## Write instead <!-- Write instead · 1 -->\n\n{vocabulary} {single_bytes} {merges} {special}: besser.\n"
    )
    (folder / "terms.md").write_text("# Begriffe\n\n## Wert <!-- logit · 1 -->\nDer Wert eines Tokens.\n")
    claims = {claim.name: claim for claim in load_claims()}
    own, same = claims.pop("vocabulary"), english.pop("vocabulary")
    assert (own.title, own.instead) == ("Titel", f"{{vocabulary}} {{single_bytes}} {{merges}} {{special}}: besser.\n\n{OLDER}")
    assert (own.experiment, own.conditions, own.sources) == (same.experiment, same.conditions, same.sources)
    assert claims == english
    assert titles(CLAIMS)["vocabulary"] == "Titel"
    term = next(term for term in glossary() if term.name == "Wert")
    assert term.text == f"Der Wert eines Tokens. {OLDER}"
    assert {"logit", "logits"} <= set(term.also)


def test_the_quiz_is_asked_in_the_language_and_an_answer_counts_once_in_all(folder: Path, use: Callable[[str], None]) -> None:
    english, text = quiz(), FILE.read_text("utf-8")
    own = re.sub(r"(?m)^## (.+)$", r"## Frage: \1 <!-- \1 · 1 -->", text).replace("whole-path: ", "whole-path: Grund: ")
    (folder / FILE.name).write_text(own)
    assert quiz() == english
    use("xx")
    first = quiz()[0]
    assert (first.question, first.why) == (f"Frage: {english[0].question} {OLDER}", f"Grund: {english[0].why}")
    asked = first.ask(1, 25)
    answer = LearnerPrediction(
        1.0, QUIZ, asked.question, first.choices, 1, asked.right, source_of(1, 25), identity=asked.identity
    )
    assert results_of([answer], quiz()).rounds == {1: {first: 1}}
    assert results_of([answer], english).rounds == {1: {english[0]: 1}}


@pytest.mark.parametrize("code", CODES)
def test_terms_have_their_english_names_too(code: str, use: Callable[[str], None]) -> None:
    english = {name for term in glossary() for name in term.names}
    use(code)
    assert english <= {name for term in glossary() for name in term.names}
    assert len([term for term in glossary() if term.name.casefold() not in english]) >= 5


def test_in_no_language_the_lessons_are_english(use: Callable[[str], None]) -> None:
    use("there is no such language")
    assert {lesson.name: lesson for lesson in lessons()} == ENGLISH
