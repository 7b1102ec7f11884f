"""The command that adds an extra works where the lab runs from: in its checkout, and without one."""

import shlex
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from models import installation
from models.installation import install_command

ROOT = Path(__file__).parents[2]


def test_a_checkout_is_installed_again_with_the_extra_from_any_folder() -> None:
    assert shlex.split(install_command("web")) == [sys.executable, "-m", "pip", "install", "-e", f"{ROOT}[web]"]


def test_without_a_checkout_it_names_the_extras_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installation, "source_checkout", lambda: None)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for extra in ("gpt2", "hub", "png", "tensorboard", "web"):
        wanted = {Requirement(each) for each in project["optional-dependencies"][extra]}
        assert set(map(Requirement, shlex.split(install_command(extra))[4:])) == wanted, extra


def test_no_message_names_a_package_that_is_on_no_registry() -> None:
    sources = (path for name in ("lab", "models", "screens") for path in (ROOT / name).rglob("*.py"))
    assert [path for path in sources if "install 'llmlab[" in path.read_text(encoding="utf-8")] == []
