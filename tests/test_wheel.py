"""What an installed llmlab has: the same lab as the source checkout, from any working directory."""

import os
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path, PurePosixPath

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=120)
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the wheel holds, as installers unpack it."""
    folder = tmp_path_factory.mktemp("site")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


def files_below(folder: Path, name: str) -> set[str]:
    return {
        str(PurePosixPath(name, *path.relative_to(folder).parts))
        for path in folder.rglob("*")
        if "__pycache__" not in path.parts and path.is_file() and path.suffix != ".svg" and not path.name.startswith(".")
    }


def test_the_wheel_holds_every_file_of_the_packages_and_the_bundled_runs_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
    wanted = set[str]().union(*(files_below(ROOT / name, name) for name in ("lab", "models", "screens")))
    bundled = (files_below(ROOT / "checkpoints" / name, f"lab/{name}") for name in ("demo", "induction"))
    assert held == wanted.union(*bundled)
    assert "screens/styles/lab.tcss" in held


def test_installed_it_finds_its_styles_keeps_runs_in_the_users_data_folder_and_opens_the_demo(
    installed: Path, tmp_path: Path
) -> None:
    """In a directory with folders of its names."""
    for name in ("models", "lab", "checkpoints", "screens"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise SystemExit('imported from the working directory')\n")
    environment = {name: value for name, value in os.environ.items() if name != "LLMLAB_HOME"}
    environment |= {"PYTHONPATH": str(installed), "HOME": str(tmp_path), "XDG_DATA_HOME": str(tmp_path / "data")}
    program = """
import sys, lab.runs.home_folder as folders, screens.app
from importlib import metadata
print(folders.__file__, folders.home(), folders.demo(), screens.app.LabApp.CSS_PATH)
[llmlab] = metadata.distribution("llmlab").entry_points
print(folders.bundled("induction"))
sys.argv = [llmlab.name, "params", "induction"]
sys.exit(llmlab.load()())
"""
    command = [sys.executable, "-P", "-c", program]
    said = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60, check=True).stdout
    file, home, demo, style = map(Path, said.splitlines()[0].split())
    assert file.parent == installed / "lab" / "runs"
    assert home == tmp_path / "data" / "llmlab" / "runs" or sys.platform != "linux", "named after Linux's convention"
    assert demo == installed / "lab" / "demo"
    assert style.is_file()
    assert said.splitlines()[1] == str(installed / "lab" / "induction")
    assert style.is_relative_to(installed)
    assert "parameters" in said.splitlines()[-1]


def test_the_container_installs_what_the_lab_needs_before_its_sources_and_does_not_run_as_root() -> None:
    lines = (ROOT / ".ci" / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", "").splitlines()
    steps = [line for line in lines if line and not line.startswith("#")]
    assert re.fullmatch(r"FROM python:\d+\.\d+\.\d+-slim-\w+", steps[0])
    needed = next(place for place, line in enumerate(steps) if "-r needed.txt" in line)
    assert steps[needed - 1] == "COPY pyproject.toml ."
    assert needed < steps.index("COPY . .") < steps.index("USER lab") < len(steps) - 1
    program = re.search(r'python -c "(.*?)" > needed.txt', steps[needed])
    assert program is not None
    said = subprocess.run(
        [sys.executable, "-c", program[1]], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    assert said == [*project["dependencies"], *(each for name in ("gpt2", "gpu", "hub", "web") for each in extras[name])]
