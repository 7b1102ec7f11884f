"""This copy of the lab: the source checkout that it runs from, and the command that adds an extra to it."""

import functools
import shlex
import sys
from importlib.util import find_spec
from pathlib import Path

NOT_ON_WINDOWS = "llmlab runs on Linux, on macOS and, on Windows, inside WSL: `wsl --install`, then install and start it there."


@functools.cache
def source_checkout() -> Path | None:
    """The folder of the source checkout that the lab runs from, or None if it is installed."""
    root = Path(__file__).resolve().parents[1]
    project = root / "pyproject.toml"
    if not project.is_file():
        return None
    return root if 'name = "llmlab"' in project.read_text(encoding="utf-8").splitlines() else None


def install_command(extra: str) -> str:
    """The command that adds an extra of the lab to this environment, from any folder. No registry has the lab itself: outside of
    a checkout it names the packages of the extra."""
    pip = [sys.executable, "-m", "pip", "install"] if find_spec("pip") else ["uv", "pip", "install", "--python", sys.executable]
    if checkout := source_checkout():
        return shlex.join([*pip, "-e", f"{checkout}[{extra}]"])
    from importlib.metadata import requires

    parts = (line.partition(";") for line in requires("llmlab") or ())
    return shlex.join([*pip, *(wanted.strip() for wanted, _, when in parts if f"extra == '{extra}'" in when.replace('"', "'"))])
