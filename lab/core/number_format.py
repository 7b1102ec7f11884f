"""Format numbers as text without rounding into a falsehood: no nonzero number reads as 0, and none below 1 as 100%."""

import math
import time
from collections.abc import Sequence

MINUS = "−"
LARGEST_PLAIN = 1e6
SMALLEST_PLAIN = 1e-3
"""Outside these two, `significant` writes a power of ten."""
MORE_DECIMALS = 3
"""Decimals that a probability may get to show its change."""
FIRST_DAY = -62_135_510_400.0
LAST_DAY = 253_402_214_400.0
"""Unix times of the second day of year 1 and of the last day of 9999: within them every time zone has a date."""


def _special(x: float) -> str | None:
    if math.isnan(x):
        return "nan"
    if math.isinf(x):
        return "∞" if x > 0 else MINUS + "∞"
    return None


def _minus(text: str) -> str:
    return text.replace("-", MINUS)


def significant(x: float, digits: int = 3, *, sign: bool = False) -> str:
    """`x` to so many significant figures, such as 12.3, 0.0457 or −1.20e−7; with `sign`, positive numbers carry a plus.

    The whole part is never cut: 123456 to three figures is 123456.
    """
    special = _special(x)
    if special is not None:
        return special
    if x == 0:
        return "0"
    scientific = f"{x:.{digits - 1}e}"
    exponent = int(scientific.partition("e")[2])
    if SMALLEST_PLAIN <= abs(float(scientific)) < LARGEST_PLAIN:
        text = f"{x:.{max(0, digits - 1 - exponent)}f}"
    else:
        text = f"{scientific.partition('e')[0]}e{exponent}"
    return ("+" if sign and x > 0 else "") + _minus(text)


def fixed(x: float, decimals: int = 3, *, sign: bool = False) -> str:
    """`x` with so many decimals; what would round to zero without being it is written as a bound: <0.001 or >−0.001.

    With `sign`, for a change, that has one figure instead, as +4e−4: two bounds of opposite sign cannot be compared.
    """
    special = _special(x)
    if special is not None:
        return special
    smallest = f"{10.0**-decimals:.{decimals}f}"
    if x != 0 and float(f"{x:.{decimals}f}") == 0:
        if sign:
            return significant(x, 1, sign=True)
        return f"<{smallest}" if x > 0 else f">{MINUS}{smallest}"
    return ("+" if sign and x > 0 else "") + _minus(f"{abs(x) if x == 0 else x:.{decimals}f}")


def column(values: Sequence[float], digits: int = 3) -> list[str]:
    """The values with the same number of decimals, so that the largest has `digits` significant figures."""
    finite = [abs(x) for x in values if math.isfinite(x) and x != 0]
    if not finite:
        return [fixed(x, 0) for x in values]
    exponent = int(f"{max(finite):.{digits - 1}e}".partition("e")[2])
    return [fixed(x, max(0, digits - 1 - exponent)) for x in values]


def probability(p: float, decimals: int = 1, digits: int = 0) -> str:
    """A probability in percent: 41.2%, <0.1%, >99.9%; 0% and 100% stand for exactly 0 and 1.

    With `digits`, one below a percent has so many significant figures, 0.42%, 0.049% or 3.2e−6%: for a table whose rows would
    all read alike.
    """
    special = _special(p)
    if special is not None:
        return special
    if p in (0, 1):
        return f"{p * 100:.0f}%"
    smallest = 10.0**-decimals
    if 0 < p < 1:
        rounded = float(f"{p * 100:.{decimals}f}")
        if digits and p * 100 < 10 * smallest:
            return f"{significant(p * 100, digits)}%"
        if rounded == 0:
            return f"<{smallest:.{decimals}f}%"
        if rounded == 100:
            return f">{100 - smallest:.{decimals}f}%"
    return _minus(f"{p * 100:.{decimals}f}%")


def probability_change(before: float, after: float, decimals: int = 1, digits: int = 0) -> tuple[str, str, str]:
    """Two probabilities in percent and the change in percentage points: `8.84%`, `8.36%`, `−0.48`.

    They have the fewest decimals, at least `decimals`, with which the change has two significant figures and is the difference of
    what is printed beside it. One too small for that beside them stands alone: `50.0%`, `50.0%`, `−6.6e−4`. `digits` as for
    `probability`.
    """
    old, new = 100 * before, 100 * after
    least = 1 - int(f"{new - old:.1e}".partition("e")[2]) if new != old else decimals
    seen = range(max(decimals, least), decimals + MORE_DECIMALS + 1)
    agree = (at for at in seen if round(round(new, at) - round(old, at), at) == round(new - old, at))
    places = next(agree, seen[-1] if seen else decimals)
    change = fixed(new - old, places, sign=True) if seen else significant(new - old, 2, sign=True)
    return probability(before, places, digits), probability(after, places, digits), change


def _scaled(n: float, units: Sequence[str]) -> tuple[str, str]:
    """`n` divided by the power of 1000 that leaves one to three digits before the point, and that power's unit."""
    for unit in units[:-1]:
        text = f"{n:.1f}" if n < 99.95 else f"{n:.0f}"
        if float(text) < 1000:
            return text, unit
        n /= 1000
    return (f"{n:.1f}" if n < 99.95 else f"{n:,.0f}"), units[-1]


def whole(n: int) -> str:
    """An integer in full, thousands apart: 1,115,394."""
    return _minus(f"{n:,}")


def counted(n: int, noun: str) -> str:
    """A number of things: `1 layer`, `1,200 steps`."""
    return f"{whole(n)} {noun}{'' if n == 1 else 's'}"


def count(n: float) -> str:
    """A count in few characters: 812, 9,999, 12.3k, 2.1M, 1.6B."""
    special = _special(n)
    if special is not None:
        return special
    if abs(n) < 9_999.5:
        return _minus(f"{n:,.0f}")
    text, unit = _scaled(abs(n) / 1000, ("k", "M", "B", "T"))
    return (MINUS if n < 0 else "") + text + unit


def bytes_(n: float) -> str:
    """A size in decimal units, as disks and files are sold: 812 B, 12.3 MB."""
    if n < 999.5:
        return f"{n:.0f} B"
    text, unit = _scaled(n / 1000, ("kB", "MB", "GB", "TB", "PB"))
    return f"{text} {unit}"


def signed_bytes(n: int) -> str:
    """A change of a size: `−12.3 kB`, `+3 B` or `0 B`."""
    return "0 B" if not n else f"{MINUS if n < 0 else '+'}{bytes_(abs(n))}"


def duration(seconds: float) -> str:
    """A span of time in its two largest units: 0.4 s, 12 s, 1 min 05 s, 2 h 03 min, 3 d 04 h."""
    special = _special(seconds)
    if special is not None:
        return special
    if seconds < 0:
        return MINUS + duration(-seconds)
    if seconds < 9.95:
        return "0 s" if seconds == 0 else f"{fixed(seconds, 1)} s"
    total = round(seconds)
    if total < 60:
        return f"{total} s"
    if total < 3600:
        return f"{total // 60} min {total % 60:02d} s"
    minutes = total // 60
    if minutes < 24 * 60:
        return f"{minutes // 60} h {minutes % 60:02d} min"
    return f"{minutes // (24 * 60)} d {minutes // 60 % 24:02d} h"


def ago(seconds: float) -> str:
    """A time in the past, coarsely: just now, 40 s ago, 5 min ago, 3 h ago, 2 d ago."""
    if seconds < 5:
        return "just now"
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{int(seconds // size)} {unit} ago"
    return f"{int(seconds)} s ago"


def within_calendar(unix_time: float) -> float:
    """The Unix time, or the nearest one that has a date in every time zone: a file's time may be any number."""
    return min(max(unix_time, FIRST_DAY), LAST_DAY)


def date_and_time(unix_time: float) -> str:
    """A Unix time as local date and time of day, 2026-02-03 04:05; one outside of the calendar as its nearest day."""
    local = time.localtime(within_calendar(unix_time))
    return f"{local.tm_year:04}-{local.tm_mon:02}-{local.tm_mday:02} {local.tm_hour:02}:{local.tm_min:02}"


def speed(tokens_per_second: float) -> str:
    """Speed of training or of writing: 8,310 tokens/s, 12.3k tokens/s."""
    slow = 0 < tokens_per_second < 10
    return f"{fixed(tokens_per_second, 1) if slow else count(tokens_per_second)} tokens/s"


def scientific(x: float) -> str:
    """`x` to two figures with a power of ten, such as 3.4e12 or 1.2e−3."""
    digits, _, exponent = f"{x:.1e}".partition("e")
    return _minus(f"{digits}e{int(exponent)}")


def listed(words: Sequence[str], last: str = "and") -> str:
    """`a`, `a and b`, `a, b and c`; "" of none."""
    return f" {last} ".join(filter(None, (", ".join(words[:-1]), *words[-1:])))


def perplexity(loss: float) -> str:
    """Perplexity e^loss: the number of equally likely tokens whose choice is as uncertain as `loss` nats."""
    value = math.exp(min(loss, 700.0))
    return fixed(value, 1) if value < 9.95 else count(round(value))
