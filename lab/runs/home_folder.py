"""The home folder of runs and the demo model: `$LLMLAB_HOME`, the source checkout, or the platform's data folder."""

import functools
import os
from pathlib import Path


@functools.cache
def source_checkout() -> Path | None:
    """The folder of the source checkout that the lab runs from, or None if it is installed."""
    root = Path(__file__).resolve().parents[2]
    project = root / "pyproject.toml"
    if not project.is_file():
        return None
    import tomllib

    with project.open("rb") as file:
        name = tomllib.load(file).get("project", {}).get("name")
    return root if name == "llmlab" else None


def home() -> Path:
    """The home of runs: $LLMLAB_HOME, else checkpoints/ of the source checkout, else the platform's folder for data."""
    asked = os.environ.get("LLMLAB_HOME")
    if asked:
        return Path(asked).expanduser().absolute()
    checkout = source_checkout()
    if checkout:
        return checkout / "checkpoints"
    import platformdirs

    return platformdirs.user_data_path("llmlab", appauthor=False) / "runs"


def scaling_folder(home: Path) -> Path:
    """The folder of the scaling experiments, each a folder by its name; its runs are called NAME-1 and so on."""
    return home / ".scaling"


def is_of_scaling(run: Path) -> bool:
    """True if the run in this folder belongs to a scaling experiment."""
    name, dash, number = run.name.rpartition("-")
    return bool(dash) and number.isdecimal() and bool(name) and (scaling_folder(run.parent) / name).is_dir()


def demo() -> Path:
    """The trained model that ships with the lab."""
    checkout = source_checkout()
    return checkout / "checkpoints" / "demo" if checkout else Path(__file__).resolve().parents[1] / "demo"
