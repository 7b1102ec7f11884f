import math
import re
from importlib import import_module
from pathlib import Path
from typing import get_args

import msgspec
import pytest
import torch

from lab.core.errors import UserError
from lab.inspect.stages.stage_registry import STAGES
from lab.lessons.glossary import Term, find_terms, glossary, parse_glossary
from lab.lessons.lesson import Lesson, lessons
from lab.runs.run_in_words import label
from lab.runs.run_schema import TrainConfig
from lab.training.one_step.step_stages import STAGES as STEP_STAGES
from models.config import END_OF_TEXT
from models.gelu import gelu
from models.tokenizers.tokenizer import Tokenizer
from screens.base_screen import LabScreen
from screens.dialogs.glossary_dialog import ASIDES
from screens.train.run_view import RunPage
from screens.train.train_screen import FORM, ONE_STEP
from screens.widgets.top_bars import MODES

MOST_CHARACTERS = 240

TERMS = pytest.mark.parametrize("term", glossary(), ids=lambda term: term.name)


def pages(mode: str) -> set[str]:
    of_train = {*get_args(RunPage), FORM, ONE_STEP}
    screen: type[LabScreen] = getattr(import_module(f"screens.{mode}.{mode}_screen"), f"{mode.title()}Screen")
    return of_train if mode == "train" else {page.LINK.name for page in screen.PAGES}


@TERMS
def test_a_term_is_two_lines_and_its_place_exists(term: Term) -> None:
    assert 30 < len(term.text) <= MOST_CHARACTERS
    assert term.text.endswith(".")
    place, fields = term.place, set(msgspec.to_builtins(term.place))
    assert place.mode in MODES
    match place.mode:
        case "inspect":
            assert fields in ({"mode", "stage"}, {"mode", "aside"})
            assert place.stage in STAGES or place.aside in ASIDES
        case "learn":
            assert (place.page, fields) == ("lessons", {"mode", "page", "lesson", "step"})
            steps = {lesson.name: len(lesson.steps) for lesson in lessons()}
            assert 0 <= (place.step or 0) < steps[place.lesson]
        case _:
            assert place.page in pages(place.mode)
            assert fields - {"stage"} == {"mode", "page"}
            assert (place.stage in STEP_STAGES) == (place.page == ONE_STEP)


def test_no_two_terms_share_a_name() -> None:
    names = [name for term in glossary() for name in term.names]
    assert {name for name in names if names.count(name) > 1} == set()
    assert len(glossary()) >= 60


def normal(name: str) -> str:
    return re.sub(r"[\s-]+", "", name.casefold())


@pytest.mark.parametrize("lesson", lessons(), ids=lambda lesson: lesson.name)
def test_a_term_that_a_lesson_introduces_is_spelled_as_in_the_glossary(lesson: Lesson) -> None:
    spelled = {normal(name): name for term in glossary() for name in term.names}
    bold = [name.casefold() for name in re.findall(r"\*\*([^*:]+)\*\*", lesson.text)]
    assert [(name, spelled[normal(name)]) for name in bold if spelled.get(normal(name), name) != name] == []


@pytest.mark.parametrize(
    ("query", "first"),
    [
        ("Loss", ["loss"]),
        ("bpe", ["byte-pair encoding"]),
        ("log", ["logit", "logit lens"]),
        ("wrong encoding", ["mojibake"]),
        ("tik tokenizer", ["Tiktokenizer"]),
        ("bycroft.net/llm", ["LLM Visualization"]),
        ("memorized", ["memorization"]),
        ("spike", ["loss spike"]),
        ("repetition penalty", ["repetition penalty"]),
        ("stop sequence", ["stop text"]),
        ("xyzzy", []),
    ],
)
def test_a_query_finds_terms_by_name_then_by_their_text(query: str, first: list[str]) -> None:
    found = [term.name for term in find_terms(query, glossary())]
    assert [name for name in found if name in first or not first][: len(first)] == first
    assert query != "Loss" or found[0] == "loss"
    assert find_terms("", glossary()) == list(glossary())


@pytest.mark.parametrize(
    "section", ["logit\nThe score of a token.", "logit\nsee: inspect, stage\nA score.", "logit\nsee: inspect"]
)
def test_a_section_without_a_place_or_a_text_is_refused_by_name(section: str) -> None:
    with pytest.raises(UserError, match=r"The term logit in terms\.md needs"):
        parse_glossary(Path("terms.md"), f"# Glossary\n\n## {section}\n")


OF_REPORTS = (
    *("training loss", "validation loss", "perplexity", "bits/byte", "nats", "uniform baseline", "unigram entropy"),
    *("bigram entropy", "source entropy", "overfitting", "checkpoint", "tokenizer", "parameters", "layers", "heads", "width"),
    *("context", "dropout", "batch", "micro-batches", "optimizer", "learning rate", "warmup", "weight decay"),
    *("gradient clipping", "gradient norm", "patience", "logit lens"),
)
"""Terms of the reports on a run, as they spell them."""


def test_the_reports_and_the_glossary_use_the_same_words() -> None:
    lab = Path(__file__).parents[3] / "lab"
    files = [path for room in ("analysis", "exchange") for path in (lab / room).rglob("*") if path.suffix in (".py", ".jinja")]
    said = "\n".join(path.read_text(encoding="utf-8") for path in files).casefold()
    said += " ".join(map(label, TrainConfig.__struct_fields__))
    assert [name for name in OF_REPORTS if name not in said] == [], "no report says them any more"
    names = {each for term in glossary() for each in term.names}
    assert [name for name in OF_REPORTS if not {name, name.removesuffix("es"), name.removesuffix("s")} & names] == []


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("special token", "In this lab no typed text becomes one."),
        ("special token", "<|endoftext|> into GPT-2's token 50256"),
        ("GELU", "by a formula with tanh, which differs by less than 0.001"),
        ("memorization", "It is not overfitting"),
        ("loss spike", "Many pass by themselves"),
        ("parameter", "124,439,808"),
        ("vocabulary", "50,257: 256 single bytes, 50,000 merges and one"),
        ("context length", "1,024 in GPT-2"),
        ("Tiktokenizer", "tiktokenizer.vercel.app"),
        ("LLM Visualization", "bbycroft.net/llm"),
    ],
)
def test_facts_of_the_glossary(name: str, words: str) -> None:
    assert words in next(term.text for term in glossary() if term.name == name)


def test_what_the_glossary_says_of_gelu_and_of_typed_special_tokens_is_so() -> None:
    x = torch.linspace(-8, 8, 100_001, dtype=torch.float64)
    exact = x / 2 * (1 + torch.erf(x / math.sqrt(2)))
    assert 0 < float((gelu(x) - exact).abs().max()) < 0.001
    tokenizer = Tokenizer.gpt2(download=False)
    assert tokenizer.decode([50256]) == END_OF_TEXT
    assert 50256 not in tokenizer.encode(f"one{END_OF_TEXT}two")
