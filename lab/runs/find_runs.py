"""Find, open and list the runs of a home."""

import os
from pathlib import Path

from lab.core.errors import DamagedFileError, UserError
from lab.core.visible_text import quoted
from lab.runs.home_folder import BUNDLED, LONGEST_NAME, bundled, runs_home
from lab.runs.run_folder import Run
from lab.runs.schema_parts import IMPORTABLE


def is_run(path: Path) -> bool:
    """True if the folder is a run, also a damaged one."""
    return os.path.lexists(path / "config.json")  # False for a name too long for a file system, or with a NUL in it


def run_folders(where: Path | None = None) -> list[Path]:
    """The folders in `where` (or `runs_home()`) that may be runs, unordered, without hidden ones and the bundled."""
    folder, left_out = where or runs_home(), [bundled(name) for name in BUNDLED]
    try:
        with os.scandir(folder) as entries:
            found = [folder / entry.name for entry in entries if not entry.name.startswith(".") and entry.is_dir()]
    except OSError:
        return []
    return [path for path in found if path.absolute() not in left_out]


def list_runs(where: Path | None = None) -> list[Run]:
    """The user's runs in `where` (or `runs_home()`), newest first, and after them those whose settings cannot be read."""
    runs = []
    for path in run_folders(where):
        run = Run(path)
        try:
            runs.append((-run.config.created, run))
        except DamagedFileError:
            runs.append((0.0, run))
        except UserError:
            continue  # no config.json: no run, or one that was just renamed or deleted
    return [run for _, run in sorted(runs, key=lambda pair: (pair[0], pair[1].name))]


def open_run(name: str | Path, where: Path | None = None) -> Run:
    """Open a run by its name in `where` (or `runs_home()`), by its path, or as one of `BUNDLED`.

    Raises:
        UserError: if there is no such run, naming near matches.
        DamagedFileError: if its settings cannot be read.
    """
    run = find_run(name, where)
    _ = run.config
    return run


def find_run(name: str | Path, where: Path | None = None) -> Run:
    """Find a run as `open_run` does, also a damaged one. Outside of `where` (or `runs_home()`) a damaged one is no run.

    Raises:
        UserError: if there is no such run, naming near matches.
        DamagedFileError: if it lies elsewhere and its settings cannot be read: it may be anything that has a config.json.
    """
    if not isinstance(name, (str, Path)) or not isinstance(where, Path | None) or "\0" in str(name):
        raise UserError(f"A run is a name or a path, in a folder that is a Path, not {name!r} in {where!r}.")
    folder = where or runs_home()
    text = os.fspath(name)
    places = [folder / text] if text and not text.startswith(".") else []
    places += [Path(os.path.expanduser(text))] if text else []
    places += [bundled(text)] if text in BUNDLED else []
    for place in places:
        if is_run(place):
            run = Run(Path(os.path.abspath(place)))
            if run.path.parent != folder.absolute():
                _ = run.config
            return run
    raise UserError(_not_found_message(text, folder))


def _not_found_message(text: str, folder: Path) -> str:
    if os.path.isdir(text):
        return f"{text} is a folder but not a run: it has no config.json."
    import difflib

    if (name := text.removeprefix("openai-community/").removeprefix("distilbert/")) in IMPORTABLE:
        return f"There is no run called {quoted(text)} yet; `llmlab import {name}` makes one of its weights."
    names = [run.name for run in list_runs(folder)]
    near = difflib.get_close_matches(text, [*names, *BUNDLED], n=3, cutoff=0.6) if len(text) <= LONGEST_NAME else []
    if near:
        return f"There is no run called {quoted(text)}; did you mean {' or '.join(near)}?"
    if names:
        return f"There is no run called {quoted(text)}; the newest here is {names[0]}, and llmlab runs lists them all."
    return f"There is no run called {quoted(text)}: {folder} holds no runs yet; llmlab train makes one."
