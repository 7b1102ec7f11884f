"""The home folder of runs, or the mirror of another machine's; the bundled models; and the names that a run may have."""

import itertools
import os
import re
from collections.abc import Iterator
from pathlib import Path

from lab.core.errors import UserError
from lab.core.visible_text import quoted
from models.installation import source_checkout


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


MIRROR, CONTACT = "LLMLAB_MIRROR", ".contact"
"""Environment variable of `llmlab watch` and its processes: the mirror of another machine's runs, in a folder that is called as
the machine; and a file in there whose time is that of the machine's last answer."""


def runs_home() -> Path:
    """The folder whose runs are shown: `home()`, or the mirror of the runs that are watched."""
    mirror = os.environ.get(MIRROR)
    return Path(mirror) if mirror else home()


def watched_machine() -> str:
    """The machine whose runs are watched, as the user named it: `me@box`; empty where the runs are this machine's."""
    return os.path.basename(os.environ.get(MIRROR, ""))


def read_only_sentence() -> str:
    """The reason why runs that are watched are not changed and not looked into."""
    return f"These runs are on {watched_machine()} and are watched from here, read-only."


def scaling_folder(home: Path) -> Path:
    """The folder of the scaling experiments, each a folder by its name; its runs are called NAME-1 and so on."""
    return home / ".scaling"


def is_of_scaling(run: Path) -> bool:
    """True if the run in this folder belongs to a scaling experiment."""
    name, dash, number = run.name.rpartition("-")
    return bool(dash) and number.isdecimal() and bool(name) and (scaling_folder(run.parent) / name).is_dir()


BUNDLED = ("demo", "induction")
"""Names of the runs that ship with the lab: the model of all lessons, and one that has induction heads."""


def bundled(name: str) -> Path:
    """The folder of a run that ships with the lab."""
    checkout = source_checkout()
    return checkout / "checkpoints" / name if checkout else Path(__file__).resolve().parents[1] / name


def demo() -> Path:
    """The trained model that ships with the lab, and that the lessons begin with."""
    return bundled("demo")


LONGEST_NAME = 100
LONGEST_NAME_BYTES = 240
"""Longest name in UTF-8; file systems allow 255 bytes."""


def check_name(name: str) -> str:
    """The name, if it is allowed for a run.
    Raises UserError if it is empty, too long, hidden, reserved, or no plain name of a folder."""
    if not name or len(name) > LONGEST_NAME:
        raise UserError(f"A run's name must have 1 to {LONGEST_NAME} characters, not {len(name)}.")
    if not name.isprintable() or set(name) & set('/\\:*?"<>|') or name != name.strip() or name[0] in ".-":
        raise UserError(
            f"{quoted(name)} cannot be a run's name: use letters, digits, spaces, - and _, and begin with no dot or dash."
        )
    if len(name.encode()) > LONGEST_NAME_BYTES:
        raise UserError(
            f"{name} is too long for the name of a folder: {len(name.encode())} bytes, of {LONGEST_NAME_BYTES} at most."
        )
    if name in BUNDLED:
        raise UserError(f"{name} is the name of a model that ships with the lab; choose another name.")
    return name


def free_names(asked: str | None, text_name: str, home: Path) -> Iterator[str]:
    """The name that was asked for; or the text's name, with a counter from 2 on while it is taken."""
    if asked is not None:
        yield asked
        return
    base = re.sub(r'[\x00-\x1f\x7f/\\:*?"<>|]+', "-", text_name).strip(" .-")[: LONGEST_NAME - 10].strip() or "text"
    base = base if base.isprintable() and base not in BUNDLED else "text"
    for number in itertools.count(1):
        name = base if number == 1 else f"{base}-{number}"
        if not os.path.lexists(home / name):
            yield name
