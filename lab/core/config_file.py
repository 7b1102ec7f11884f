"""The user's settings in `config.toml` of the home: keys, theme, language, signs. It is read, never written, and not trusted."""

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lab.core.errors import DamagedFileError
from lab.core.visible_text import quoted

LARGEST_CONFIG = 1 << 14
MOST_PROBLEMS = 8
"""Sentences on one file: to word more of them would take long, and nobody would read them."""
UNICODE = "LLMLAB_UNICODE"
"""Environment variable that wins over the file: 1 or 0 for signs or ASCII marks."""

KINDS: dict[str, tuple[type, str]] = {
    "theme": (str, "a theme's name in quotes"),
    "language": (str, "a language's code in quotes"),
    "unicode": (bool, "true or false"),
    "keys": (dict, "a table of ids and their keys"),
}


@dataclass(frozen=True)
class Config:
    """What the file says; `problems` are sentences on what is not used of it."""

    path: Path
    text: str = ""
    settings: dict[str, Any] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)
    """Keys by the id of their action, several with commas between."""
    problems: tuple[str, ...] = ()

    def at(self, name: str) -> str:
        """The file and the line of a name, or of its last part in a table, as a sentence begins with it."""
        names = [(part, number) for part in (name, name.rpartition(".")[2]) for number in enumerate(self.text.splitlines(), 1)]
        found = (at for part, (at, line) in names if re.match(rf"""\s*\[?\s*["']?{re.escape(part)}["']?\s*[=.\]]""", line))
        return f"{self.path.name}, line {next(found, 1)}"

    def unknown(self, what: str, name: str, there: Iterable[str], at: str = "") -> str:
        """The sentence for a name that there is not, with the nearest right one; it stands where `at` does, by default itself."""
        import difflib

        near = difflib.get_close_matches(name[:100], list(there), n=1, cutoff=0.5)
        asked = f"did you mean {near[0]}?" if near else "`llmlab config --show` lists all."
        return f"{self.at(at or name)}: there is no {what} {quoted(name)}; {asked}"


def read_config(home: Path) -> Config:
    """The settings of a home; none where it has no such file, which may be a link. Never fails."""
    path = home / "config.toml"
    if not os.path.exists(path):
        return Config(path)
    import tomllib

    from lab.core.safe_open import read_regular

    try:
        text = read_regular(path, LARGEST_CONFIG, follow=True).decode()
        found = tomllib.loads(text)
        own_keys = list(_flat(found.get("keys", {})))
    except (DamagedFileError, OSError, ValueError, RecursionError) as error:
        reason = "tables are nested too deeply" if isinstance(error, RecursionError) else str(error).rstrip(".")
        return Config(path, problems=(f"{path.name} is not used: {reason}.",))
    read, problems, settings, keys = Config(path, text), list[str](), dict[str, Any](), dict[str, str]()
    for name, value in list(found.items())[:MOST_PROBLEMS]:
        if name not in KINDS:
            problems.append(read.unknown("setting", name, KINDS))
        elif not isinstance(value, KINDS[name][0]):
            problems.append(f"{read.at(name)}: {name} must be {KINDS[name][1]}.")
        elif name != "keys":
            settings[name] = value
    for id, value in own_keys:
        if isinstance(value, str) and value.strip(", "):
            keys[id] = value
        elif len(problems) < MOST_PROBLEMS:
            problems.append(f'{read.at(id)}: the key of {quoted(id)} must be text in quotes, such as "ctrl+x" or "s,space".')
    return Config(path, text, settings, keys, tuple(problems))


def _flat(table: Any, before: str = "") -> Iterable[tuple[str, Any]]:
    """The ids of a table, which TOML splits at their dots unless they are quoted."""
    for name, value in table.items() if isinstance(table, dict) else ():
        yield from _flat(value, f"{before}{name}.") if isinstance(value, dict) else [(before + name, value)]
