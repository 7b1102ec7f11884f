"""What the README promises in so many words."""

import json
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")

OPEN_THE_LAB = "python3 -m venv .venv && .venv/bin/pip install -e '.[gpt2]' && .venv/bin/llmlab"
RUN_THE_TESTS = "python3 -m venv .venv && .venv/bin/pip install -e '.[dev]' && .venv/bin/pytest"


def test_the_two_commands_stand_on_a_line_each_and_the_checks_run_the_second() -> None:
    lines = [line.strip() for line in README.splitlines()]
    assert OPEN_THE_LAB in lines
    assert RUN_THE_TESTS in lines
    assert RUN_THE_TESTS in (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()


def test_every_file_it_links_to_exists() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        path = ROOT / target  # a folder of which only the caches are left does not count
        assert target.startswith("http") or path.is_file() or any(each.suffix != ".pyc" for each in path.rglob("*.*")), target


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


def test_every_command_and_option_in_it_exists() -> None:
    import click

    from lab.cli.command_registry import COMMANDS, llmlab

    context = click.Context(llmlab)
    for line in re.findall(r"^ *(?:\$ )?(?:\.venv/bin/)?llmlab (\w.*)$", README, flags=re.MULTILINE):
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
