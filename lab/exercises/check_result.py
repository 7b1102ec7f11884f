"""Request of a check, and its result: which cases are right, what is wrong with the others, what the code printed."""

from collections.abc import Sequence

import msgspec

from lab.exercises.comparison import Apart
from lab.exercises.your_model import ForwardPass, YourModel

NOT_REACHED = "It was not reached."
"""Of a case, where the check ended before."""
KILLED = "It was killed: by itself, by the system for its memory, or after {:g} s."
PRINTED_LINES, PRINTED_CHARACTERS = 20, 2000
"""Of what the code prints that is shown."""


class CheckRequest(msgspec.Struct, frozen=True):
    """The exercise, the learner's file, the run and prompt to check it on, and the seconds it may take."""

    name: str
    """"" to put all files that pass into a model."""
    file: str
    mine: dict[str, str]
    """Files of other exercises that pass, by their names: what the code imports from them is the learner's."""
    run: str
    prompt: str
    seconds: float
    ids: tuple[int, ...] = ()
    """Tokens in place of the prompt, for a forward pass alone."""
    checkpoint: str = "best"


class CaseResult(msgspec.Struct, frozen=True):
    name: str
    sentence: str = ""
    """What is wrong; "" where it is right."""

    @property
    def mark(self) -> str:
        return "·" if self.sentence == NOT_REACHED else "✗" if self.sentence else "✓"


class CheckResult(msgspec.Struct, frozen=True, omit_defaults=True):
    """What came of a check. It passes where `problem` is empty."""

    name: str
    problem: str = ""
    mistake: str = ""
    """The known mistake whose results these are."""
    cases: list[CaseResult] = []
    traceback: list[str] = []
    """The learner's own lines of an error."""
    printed: str = ""
    warnings: list[str] = []
    """What Python and torch warned of at lines of the learner's."""
    apart: Apart | None = None
    """The first result that differs, beside the right one."""
    number: str = ""
    """What Inspect calls the right one of the first number that differs; "" where it does not explain it."""
    model: YourModel | None = None
    """What came of the model that uses the learner's functions."""
    forward_pass: ForwardPass | None = None

    @property
    def passes(self) -> bool:
        return not self.problem

    @property
    def output(self) -> list[str]:
        """What it printed, the first of it, and the warnings, each under a title."""
        shown = "\n".join(self.printed.rstrip().split("\n")[:PRINTED_LINES])[:PRINTED_CHARACTERS]
        more = "" if shown == self.printed.rstrip() else " … and more"
        found = [f"It printed:\n{shown}{more}"] if self.printed else []
        return [*found, "\n".join(("Python or torch warns:", *self.warnings))] if self.warnings else found


def problem_of(cases: Sequence[CaseResult]) -> str:
    """What is wrong with the first case that is not right, without its name where all are so; "" where none is."""
    wrong = next((each for each in cases if each.sentence), None)
    if wrong is None or all(each.sentence in (wrong.sentence, NOT_REACHED) for each in cases):
        return wrong.sentence if wrong is not None else ""
    return f"{wrong.name[0].upper()}{wrong.name[1:]}: {wrong.sentence}"
