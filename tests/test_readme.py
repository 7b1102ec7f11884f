"""What the README promises in so many words."""

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = (
    ROOT / "README.md",
    *sorted(page for room in ("lab", "screens") for page in (ROOT / room).rglob("README.md")),
    *(ROOT / "checkpoints" / run / "README.md" for run in ("", "demo", "induction")),
)
"""The README of the project, and those beside what they are about."""
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]
README = PAGES[0].read_text(encoding="utf-8")

OPEN_THE_LAB = "python3 -m venv .venv && .venv/bin/pip install -e '.[gpt2]' && .venv/bin/llmlab"
RUN_THE_TESTS = "python3 -m venv .venv && .venv/bin/pip install -e '.[dev]' && .venv/bin/pytest"


def test_the_two_commands_stand_on_a_line_each_and_the_checks_run_the_second() -> None:
    lines = [line.strip() for line in README.splitlines()]
    assert OPEN_THE_LAB in lines
    assert RUN_THE_TESTS in lines
    assert RUN_THE_TESTS in (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()


def test_the_first_page_stays_a_page() -> None:
    assert len(README.splitlines()) <= 200
    assert len(README.encode()) <= 14_000


def anchors_of(page: Path) -> set[str]:
    """What links to its headings end in, as GitHub makes it of their words."""
    headings = re.findall(r"^#+ (.+)$", re.sub(r"(?ms)^```.*?^```", "", page.read_text(encoding="utf-8")), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_every_file_and_heading_it_links_to_exists(page: Path) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", page.read_text(encoding="utf-8")):
        name, _, anchor = target.partition("#")
        if name.startswith("http"):
            continue
        path = (page.parent / name).resolve() if name else page
        assert path.is_file() or any(each.suffix != ".pyc" for each in path.rglob("*.*")), target  # more than caches
        assert not anchor or anchor in anchors_of(path), target


def test_the_demos_words_are_counted() -> None:
    import numpy as np

    from lab.runs.run_folder import Run
    from models.tokenizers.tokenizer import Tokenizer

    demo = Run(ROOT / "checkpoints" / "demo")
    ids = np.fromfile(demo.tokens_path, "<u2")[: demo.config.data.split].tolist()
    words = set(re.findall(r"[A-Za-z]+", Tokenizer.load(demo.tokenizer_path).decode(ids)))
    said = re.search(r"it has seen (\d+) different words", (demo.path / "README.md").read_text(encoding="utf-8"))
    assert said is not None
    assert len(words) == int(said[1])


def lines_of(page: Path) -> list[str]:
    """Its examples: lines of the shell that call `llmlab`, and those in its tables, in their order."""
    text = page.read_text(encoding="utf-8").replace("\\\n", "")
    return re.findall(r"(?m)(?:^ *(?:cat .* \| )?|^\|.*\| `)(llmlab \w[^`\n]*)", text)


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_every_command_and_option_in_it_exists(page: Path) -> None:
    import click

    from lab.cli.command_registry import COMMANDS, llmlab

    context = click.Context(llmlab)
    in_sentences = re.findall(r"`(llmlab \w[^`\n]*)`", page.read_text(encoding="utf-8"))
    for line in (each.removeprefix("llmlab ") for each in (*lines_of(page), *in_sentences)):
        name = line.split()[0]
        assert name in COMMANDS, line
        command = llmlab.get_command(context, name)
        assert command is not None
        known = {option for parameter in command.params for option in parameter.opts} | {"--help"}
        without_text = re.sub(r"'[^']*'|\"[^\"]*\"|#.*|\|.*", "", line)
        assert set(re.findall(r"(?<=\s)--?[a-z][a-z0-9-]*", without_text)) <= known, line


def test_the_container_for_editors_opens_with_the_first_command() -> None:
    container = json.loads((ROOT / ".devcontainer" / "devcontainer.json").read_text(encoding="utf-8"))
    assert f"{container['postCreateCommand']} && {container['postAttachCommand']}" == OPEN_THE_LAB


def test_every_file_that_the_guides_link_to_exists() -> None:
    for guide in ("CONTRIBUTING.md", "SECURITY.md"):
        for target in re.findall(r"\]\(([^)#]+)", (ROOT / ".github" / guide).read_text(encoding="utf-8")):
            assert (ROOT / ".github" / target).exists(), target
