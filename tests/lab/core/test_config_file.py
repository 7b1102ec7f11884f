"""The user's file of settings: what is wrong is a sentence with its line, and the rest is used."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lab.core.config_file import LARGEST_CONFIG, Config, read_config
from tests.fixture_types import Call


def config_of(home: Path, text: str) -> Config:
    (home / "config.toml").write_text(text)
    return read_config(home)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('\nlangauge = "de"', "config.toml, line 2: there is no setting 'langauge'; did you mean language?"),
        ('unicode = "no"', "config.toml, line 1: unicode must be true or false."),
        ("theme = 'a'\n[keys]\n\"app.theme\" = 3", "config.toml, line 3: the key of 'app.theme' must be text in quotes"),
        ("[keys.app]\n\nquit = ''", "config.toml, line 3: the key of 'app.quit' must be text in quotes"),
        ("a = ", "config.toml is not used: Invalid value (at end of document)."),
        ("a = " + "[" * 5000, "config.toml is not used: tables are nested too deeply."),
        ("keys." + ".".join("a" * 5000) + " = 1", "config.toml is not used: tables are nested too deeply."),
        ("#" * (LARGEST_CONFIG + 1), "config.toml is not used: "),
    ],
)
def test_what_is_wrong_is_a_sentence_with_its_line(home: Path, text: str, problem: str) -> None:
    (said,) = config_of(home, text).problems
    assert said.startswith(problem)
    assert "\n" not in said


def test_a_folder_in_its_place_is_a_sentence(home: Path) -> None:
    (home / "config.toml").mkdir()
    assert "is not used" in read_config(home).problems[0]


def test_ids_may_be_quoted_or_not(home: Path) -> None:
    found = config_of(home, 'unicode = false\n[keys]\napp.quit = "x"\n"app.help" = "f1,?"')
    assert (found.settings, found.keys, found.problems) == ({"unicode": False}, {"app.quit": "x", "app.help": "f1,?"}, ())


def test_the_command_shows_all_as_it_is_and_what_is_wrong(llmlab: Call, home: Path) -> None:
    config_of(
        home,
        'theme = "nrod"\n[keys]\napp.quit = "ctrl+x"\nmode.dta = "f2"\napp.theme = "ctlr+t"\nhome.filter = "x"\nhome.clone = "x"',
    )
    done = llmlab("config", "--show")
    rows = {line.split()[0]: line.split()[1] for line in done.out.splitlines()[1:]}
    assert (rows["keys.app.quit"], rows["keys.app.theme"], rows["keys.mode.home"]) == ("ctrl+x", "ctrl+t", "1")
    assert done.code == 2
    for line, words in (
        (1, "there is no theme 'nrod'; did you mean nord?"),
        (4, "there is no action 'mode.dta'; did you mean mode.data?"),
        (5, "there is no key 'ctlr+t'; did you mean ctrl+t?"),
        (6, "x is also the key of home.clone"),
    ):
        assert f"config.toml, line {line}: {words}" in done.err


@pytest.mark.parametrize(("variable", "shows_signs"), [(None, False), ("1", True)])
def test_signs_are_as_the_file_says_and_a_variable_wins(home: Path, variable: str | None, shows_signs: bool) -> None:
    config_of(home, "unicode = false")
    program = "import os, sys, lab.cli; from lab.core.terminal import has_utf8; sys.argv = ['llmlab', 'cache']; lab.cli.main()"
    environment = os.environ | {"LANG": "C.UTF-8"} | ({} if variable is None else {"LLMLAB_UNICODE": variable})
    command = [sys.executable, "-c", f"{program}; print(has_utf8(os.environ, 'utf-8'))"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == str(shows_signs)


def test_a_file_of_mistakes_is_told_in_some_sentences(llmlab: Call, home: Path) -> None:
    config_of(home, "[keys]\n" + "\n".join(f'a{number} = "x"' for number in range(1000)))
    done = llmlab("config")
    assert (done.code, done.err.count("\n")) == (2, 8)
    config_of(home, "[keys]\n" + "\n".join(f"a{number} = 1" for number in range(1000)))
    assert len(read_config(home).problems) == 8
