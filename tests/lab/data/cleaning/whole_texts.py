"""Texts that every rule leaves whole, and a table of what each takes: `python -m tests.lab.data.cleaning.whole_texts`."""

from pathlib import Path

from lab.data.cleaning.rule_registry import BY_NAME

MARK = "@@@@ "
"""Begins the line with the name of a text in `whole_texts.txt`."""


def whole_texts() -> dict[str, str]:
    """The texts by their names."""
    parts = Path(__file__).with_suffix(".txt").read_text("utf-8").split(MARK)[1:]
    texts = dict(part.split("\n", 1) for part in parts)
    texts["csv without spaces"] = "".join(
        ",".join(str(pixel % 256) for pixel in range(row, row + 784)) + "\n" for row in range(3)
    )
    texts["list of names"] = "".join(
        f"{first}{last}\n" for first in ("Al", "Bern", "Car", "Dor") for last in ("a", "o", "in") * 20
    )
    return texts


def taken(text: str, rule: str) -> list[tuple[str, str]]:
    """The passages that a rule takes or changes, before and after."""
    return [(passage.before, passage.after) for passage in BY_NAME[rule].cleaner().feed(text, True) if not passage.kept]


def table() -> str:
    """Bytes of each text that each rule takes or changes."""
    rows = [("", *(rule[:9] for rule in BY_NAME))]
    for name, text in whole_texts().items():
        sizes = (sum(len(before.encode()) for before, _ in taken(text, rule)) for rule in BY_NAME)
        rows.append((f"{name} ({len(text.encode())})", *map(str, sizes)))
    return "\n".join(f"{row[0]:38}" + "".join(f"{cell:>10}" for cell in row[1:]) for row in rows)


if __name__ == "__main__":
    print(table())
