import hashlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lab.data.cleaning.rule_registry import BY_NAME, clean_documents
from lab.planning.text_stamp import TEXT_VERSION
from lab.runs.run_schema import DEFAULT_RULES
from tests.lab.data.cleaning.cleaning_texts import LINES, START, cleaned, stream, texts
from tests.lab.data.cleaning.test_rules import CHANGES


def whole_texts() -> dict[str, str]:
    """The texts by their names, with which `@@@@ ` lines in `whole_texts.txt` begin them."""
    parts = Path(__file__).with_name("whole_texts.txt").read_text("utf-8").split("@@@@ ")[1:]
    texts = dict(part.split("\n", 1) for part in parts)
    texts["csv without spaces"] = "".join(
        ",".join(str(pixel % 256) for pixel in range(row, row + 784)) + "\n" for row in range(3)
    )
    texts["list of names"] = "".join(
        f"{first}{last}\n" for first in ("Al", "Bern", "Car", "Dor") for last in ("a", "o", "in") * 20
    )
    return texts


TEXTS = whole_texts()
ALONE = [(rule,) for rule in BY_NAME]
TOGETHER = [DEFAULT_RULES, tuple(BY_NAME)]
MEETING = [
    *(f"Title: A Book\n\n{line}" if line == START else line for line in LINES),
    "Home\n",
    "Log in\n",
    "Kontakt\n",
    "and so the verse goes on into the line that follows\n",
    "And so it ends here, as all of the things must end.\n",
    "/_o_\\ ^^ ~~ ; :\n",
    "def f():\n",
    "p(x) = {\n",
]
"""Lines, at which the rules may make work for each other. A START line has a header: one without is only known at the beginning
of a document, where another rule may bring it. Other signs are plain: a sign that is removed may leave broken text behind."""
meeting = st.lists(st.sampled_from(MEETING) | st.text("ab Zé今.,:;!?()[]-_*#|/\\'\"07@\n", max_size=14), max_size=30).map("".join)


def test_a_change_of_what_the_rules_do_raises_the_version_that_kept_texts_are_known_by() -> None:
    texts = "".join(MEETING * 2) + "".join(TEXTS.values()) + "café  \r\n\x07a@b.example, +1 212 555 0123\n" * 3
    cleaned_by = [cleaned(texts, *rules) for rules in (*ALONE, *TOGETHER)]
    digest = hashlib.sha256(repr(cleaned_by).encode()).hexdigest()[:12]
    assert (TEXT_VERSION, digest) == (1, "c5eb5c24ca45"), "raise TEXT_VERSION, and put the new digest here"


@pytest.mark.parametrize("name", TEXTS)
def test_a_good_text_comes_through_whole(name: str) -> None:
    taken = {rule: [each for each in BY_NAME[rule].cleaner().feed(TEXTS[name], True) if not each.kept] for rule in BY_NAME}
    assert not any(taken.values()), taken
    assert cleaned(TEXTS[name], *BY_NAME) == TEXTS[name]


def test_good_texts_come_through_whole_after_each_other() -> None:
    parts = list(clean_documents(stream([[text] for text in TEXTS.values()]), tuple(BY_NAME)))
    assert "".join(part.text for part in parts) == "".join(TEXTS.values())


@pytest.mark.parametrize(
    "name", ["python", "c", "javascript", "shell", "sql", "go", "lisp", "html", "yaml", "json lines", "patch", "tables", "csv",
             "syslog", "log of a server", "form in blocks", "ballad with a chorus", "music", "drawing", "chat"]
)  # fmt: skip
def test_what_is_no_prose_may_come_again_in_another_document(name: str) -> None:
    parts = list(clean_documents(stream([[TEXTS[name]], [TEXTS[name]]]), tuple(BY_NAME)))
    assert "".join(part.text for part in parts) == 2 * TEXTS[name]


@pytest.mark.parametrize("rules", [*ALONE, *TOGETHER], ids=lambda rules: rules[0] if len(rules) == 1 else "all")
def test_cleaning_twice_is_cleaning_once(rules: tuple[str, ...]) -> None:
    before = [before for pairs in CHANGES.values() for before, _ in pairs]
    for text in [*before, "".join(before), "\n".join(before), "".join(TEXTS.values())]:
        once = cleaned(text, *rules)
        assert cleaned(once, *rules) == once


@settings(max_examples=30, deadline=None)
@given(texts, st.sampled_from(ALONE))
def test_a_rule_has_nothing_to_do_after_itself(text: str, rules: tuple[str, ...]) -> None:
    once = cleaned(text, *rules)
    assert cleaned(once, *rules) == once


@given(meeting, st.sampled_from(TOGETHER))
def test_the_rules_together_leave_nothing_to_do(text: str, rules: tuple[str, ...]) -> None:
    once = cleaned(text, *rules)
    assert cleaned(once, *rules) == once
