"""The terminal: its abilities, from the environment, and ASCII marks for one without UTF-8, each as wide as the sign."""

import codecs
import io
from collections.abc import Mapping
from functools import lru_cache

from rich.cells import cell_len

from lab.core.config_file import UNICODE

NO_CURSOR = ("", "dumb", "unknown")
"""Values of TERM that name no terminal on which text can be placed."""
SETTINGS_OF_SSH = ("SSH_CONNECTION", "SSH_CLIENT", "SSH_TTY")
COERCED = ("C.UTF-8", "C.utf8", "UTF-8")
"""Values that Python gives to LC_CTYPE in the C locale (PEP 538)."""


def places_text(environment: Mapping[str, str]) -> bool:
    """True where the terminal can move its cursor, as TERM says."""
    return environment.get("TERM", "") not in NO_CURSOR


def is_remote(environment: Mapping[str, str]) -> bool:
    """True over SSH, where the link may be slow."""
    return any(environment.get(name) for name in SETTINGS_OF_SSH)


def has_utf8(environment: Mapping[str, str], encoding: str) -> bool:
    """True where a terminal shows UTF-8, as its locale says; `encoding` is the one that Python writes to it.

    `LLMLAB_UNICODE`, also from the user's file, decides alone where it is set, then `PYTHONIOENCODING`. Else LC_ALL, LC_CTYPE and
    LANG count, in the order of POSIX (XBD 8.2): in the C locale, too, Python writes UTF-8 (PEP 538, PEP 540), and sets LC_CTYPE
    for it. Where none is set, its encoding counts.
    """
    if environment.get(UNICODE) in ("0", "1"):
        return environment[UNICODE] == "1"
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


UNKNOWN = "?"
"""Stands for each cell of a character that is neither ASCII nor in the table, such as a letter of the user's text, or a sign for
which one cell of ASCII would say something else, as `<` does for "at most"."""

ERRORS = "llmlab-ascii-marks"
"""Name of the error handler that writes the marks into a stream that encodes to ASCII."""

_GROUPS = {
    " ": "\N{NO-BREAK SPACE}",
    # Lines: horizontal, vertical, corners and crossings.
    "-": "─┄╌┈‐‑‒–—−⁻▔⎯↔",
    "|": "│┃┆┊║╷╵‖▏▕∣",
    "+": "┌┐└┘├┤┬┴┼╭╮╯╰╔╗╚╝╠╣╦╩╬┏┓┗┛┣┫┳┻╋⊕✓▅▋▒",
    "/": "╱÷",
    "\\": "╲⏎␊",
    "x": "×",
    "X": "╳✗✘",
    # Bars and shades, from little to much: eighths up and across in the same eight steps, but for the first and the half.
    ".": "·˙",
    "_": "▁␣",
    ",": "▂▎",
    ":": "▃▍░",
    "=": "▄━═",
    "[": "▐⌈⟦",
    "]": "▌⌉⟧",
    "*": "▆▊•●★",
    "%": "▇▉▓",
    "#": "█◼■",
    '"': "▀▘“”",
    # Arrows and pointers.
    ">": "→▸▶›»⇥⟩",
    "<": "←◂◀‹«⟨",
    "^": "↑▲▴␛",
    "v": "↓▾▼",
    "u": "↶µμ",
    # Signs.
    "o": "○◌°◆",
    "~": "…≈∝◐",
    "!": "≠",
    "'": "′’‘´",
    "&": "±",
    "@": "∞",
    **{str(digit): f"{above}{below}" for digit, (above, below) in enumerate(zip("⁰¹²³⁴⁵⁶⁷⁸⁹", "₀₁₂₃₄₅₆₇₈₉", strict=True))},
    "d": "∂",
    "S": "Σ∑",
    "D": "Δ",
    "a": "α",
    "b": "β",
    "e": "ε",
    "g": "γ",
    "s": "σˢ",
    "t": "θ",
    "p": "π",
    "V": "√∇",
    "i": "ᵢ",
    "k": "ₖ",
    "n": "ₙ≡",
    "N": "≣",
}
MARKS: Mapping[str, str] = {sign: mark for mark, signs in _GROUPS.items() for sign in signs}
"""The ASCII mark of each sign that the lab draws, all one cell wide."""

BRAILLE = range(0x2800, 0x2900)
UPPER_DOTS, LOWER_DOTS = 0b00011011, 0b11100100
"""Dots 1, 2, 4, 5, and 3, 6, 7, 8, as bits of a braille character (Unicode, block Braille Patterns)."""
MANY_DOTS = 6


def _of_braille(dots: int) -> str:
    if dots.bit_count() >= MANY_DOTS:
        return "#"
    upper, lower = bool(dots & UPPER_DOTS), bool(dots & LOWER_DOTS)
    return ":" if upper and lower else "'" if upper else "." if lower else " "


@lru_cache(maxsize=4096)
def _of_run(text: str) -> str:
    """Marks for characters beyond ASCII."""
    marks, unknown = [], ""
    for sign in text:
        mark = _of_braille(ord(sign) - BRAILLE[0]) if ord(sign) in BRAILLE else MARKS.get(sign)
        if mark is None:
            unknown += sign  # together, for an emoji of several characters is as wide as one
            continue
        marks += [UNKNOWN * cell_len(unknown), mark]
        unknown = ""
    return "".join([*marks, UNKNOWN * cell_len(unknown)])


def _write_marks(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return _of_run(error.object[error.start : error.end]), error.end


codecs.register_error(ERRORS, _write_marks)


def in_ascii(text: str) -> str:
    """The text in ASCII, as many character cells wide."""
    return text if text.isascii() else text.encode("ascii", ERRORS).decode("ascii")


def write_ascii(stream: io.TextIOWrapper) -> None:
    """Make the stream write ASCII marks for all that is not ASCII."""
    stream.reconfigure(encoding="ascii", errors=ERRORS)
