"""The text of the bundled run `induction`: stories, and between them lines of random letters of which pieces are said again.

    python -m tests.lab.experiments.stories_and_letters > letters.txt

A line begins with a sequence of 4 to 32 different letters, drawn afresh; then come pieces of it from random places, until it is
four times as long. Nothing can be learned about such letters, but within a piece each can be known: by finding the letter
before it earlier in the line, and what came after it there. How far back that is changes all the time. The stories are there
for heads that look at the token before, which reading words needs, and induction, too: without them a run found other ways, or
none.
"""

import random
import string

from lab.data import builtin_stories

BYTES, SEED = 300_000, 20
SHORTEST, LONGEST, TIMES, LONGEST_PIECE = 4, 32, 4, 12


def line(source: random.Random) -> str:
    """A line of letters; short sequences are more frequent. Only `random()` is the same in every version of Python."""
    length = int(SHORTEST * ((LONGEST + 1) / SHORTEST) ** source.random())
    sequence = "".join(sorted(string.ascii_letters, key=lambda letter: source.random())[:length])
    text = sequence
    while len(text) < TIMES * length:
        piece = 2 + int(source.random() * (min(length, LONGEST_PIECE) - 1))
        start = int(source.random() * (length - piece + 1))
        text += sequence[start : start + piece]
    return f"{text}\n"


def text() -> str:
    """As many bytes of stories as of letters."""
    source, parts, told, drawn = random.Random(SEED), list[str](), 0, 0
    stories = iter("".join(builtin_stories.generate(BYTES)).split("\n\n"))
    while told + drawn < BYTES:
        if told <= drawn:
            parts.append(f"{next(stories)}\n")
            told += len(parts[-1])
        else:
            parts.append(line(source))
            drawn += len(parts[-1])
    return "".join(parts)


if __name__ == "__main__":
    print(text(), end="")
