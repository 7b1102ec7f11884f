"""Facts about the terminal from the environment: whether it places text, shows UTF-8, and is on another machine."""

import os
from collections.abc import Mapping

NO_CURSOR = ("", "dumb", "unknown")
"""Values of TERM that name no terminal on which text can be placed."""
SETTINGS_OF_SSH = ("SSH_CONNECTION", "SSH_CLIENT", "SSH_TTY")
COERCED = ("C.UTF-8", "C.utf8", "UTF-8")
"""Values that Python gives to LC_CTYPE in the C locale (PEP 538)."""


def places_text(environment: Mapping[str, str]) -> bool:
    """True where the terminal can move its cursor, as TERM says. Windows has no TERM and always can."""
    return os.name == "nt" or environment.get("TERM", "") not in NO_CURSOR


def is_remote(environment: Mapping[str, str]) -> bool:
    """True over SSH, where the link may be slow."""
    return any(environment.get(name) for name in SETTINGS_OF_SSH)


def has_utf8(environment: Mapping[str, str], encoding: str) -> bool:
    """True where a terminal shows UTF-8, as its locale says; `encoding` is the one that Python writes to it.

    `PYTHONIOENCODING` decides alone where it is set. Else LC_ALL, LC_CTYPE and LANG count, in the order of POSIX (XBD 8.2): in
    the C locale, too, Python writes UTF-8 (PEP 538, PEP 540), and sets LC_CTYPE for it. Where none is set, its encoding counts.
    """
    if not _is_utf8(encoding):
        return False
    if environment.get("PYTHONIOENCODING", "").partition(":")[0]:
        return True
    language = environment.get("LANG", "")
    categories = [environment.get("LC_ALL", ""), environment.get("LC_CTYPE", ""), language]
    if language in ("C", "POSIX") and categories[1] in COERCED:
        categories[1] = ""  # Python's own choice for LANG=C
    locale = next((name for name in categories if name), "UTF-8")
    return _is_utf8(locale.partition("@")[0].rpartition(".")[2])


def _is_utf8(name: str) -> bool:
    return name.lower().replace("-", "").replace("_", "") == "utf8"
