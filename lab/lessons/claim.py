"""Claim of a learner's notes: a Markdown file with the claim as its title, the experiment that decides it, and its text.

    # GPT-2's vocabulary has 50,277 tokens

    experiment: vocabulary
    true if: vocabulary == 50277
    source: who says so

    The explanation, with figures such as {vocabulary}.

    ## Not so
    A paragraph that is shown with this verdict only.

    ## Write instead
    The note that holds.

`limit if` is the condition for "true with a limit"; where neither holds, the claim is not so. `prompt` is a text for the model,
`input NAME` one for the experiment. A fact that nothing here can measure has a line such as `verdict: not so` and its sources in
place of an experiment and conditions.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path
from typing import Literal

from lab.core.errors import UserError
from lab.experiments.experiment_result import ExperimentResult, Measure
from lab.lessons.conditions import Condition, MissingMeasureError, fill, names_in, parse_condition
from lab.lessons.lesson import CLAIMS
from lab.lessons.translation import read_in_language
from lab.views.blocks import View

Verdict = Literal["true", "limit", "not so", "unchecked"]

TITLES: dict[Verdict, str] = {
    "true": "true",
    "limit": "true with a limit",
    "not so": "not so",
    "unchecked": "cannot be checked here",
}
CONDITIONAL: tuple[Verdict, ...] = ("true", "limit")
"""The verdicts that a condition decides: `true if`, `limit if`."""
MARKS: dict[Verdict, str] = {"true": "✓", "limit": "◐", "not so": "✗", "unchecked": "?"}

SECTIONS: dict[str, Verdict | Literal["instead"]] = {
    "True": "true",
    "True with a limit": "limit",
    "Not so": "not so",
    "Write instead": "instead",
}
"""Headings of a file, and what each holds."""

_FIELD = re.compile(r"([a-z][a-z ]*?):\s+(.+)")
_FIELDS, _INPUT = ("experiment", "verdict", "true if", "limit if", "prompt", "source"), "input "


@dataclass(frozen=True)
class Claim:
    name: str
    """The file's name without number and suffix, such as `vocabulary`."""
    number: int
    title: str
    """The claim in our own words."""
    experiment: str
    """"" where the verdict is that of the sources."""
    conditions: Mapping[Verdict, Condition]
    """Of "true" and "limit", in this order; at least one, or a verdict of the sources."""
    explanation: str
    """Markdown with figures, for every verdict."""
    by_verdict: Mapping[Verdict, str]
    """More of it for one verdict."""
    instead: str
    prompt: str = ""
    inputs: Mapping[str, str] = field(default_factory=dict)
    sources: tuple[str, ...] = ()
    said: Verdict = "unchecked"
    """The verdict of the sources, where there is no experiment."""


def parse_claim(path: Path, text: str) -> Claim:
    """The claim in the text of a file. Raises: UserError, one sentence naming the file and what is wrong with it."""
    number, _, name = path.stem.partition("-")
    if not (number.isdecimal() and name):
        raise UserError(f"The claim {path} needs a name such as 01-vocabulary.md: its number, a dash, its name.")
    title, _, rest = text.strip().partition("\n")
    if not title.startswith("# ") or not title[2:].strip():
        raise UserError(f"The claim {path} must begin with the claim itself: a line such as # A word is a token.")
    fields, sources, body = _fields(path, rest)
    sections = _sections(path, body)
    is_measured = "verdict" not in fields
    said: Verdict = next((each for each in TITLES if each == fields.get("verdict")), "unchecked")
    if not is_measured and (said == "unchecked" or "experiment" in fields or not sources):
        raise UserError(f"The claim {path} has a line verdict:, which needs a source, no experiment, and {', '.join(TITLES)}.")
    if is_measured and "experiment" not in fields:
        raise UserError(f"The claim {path} needs a line experiment: NAME, one of lab.experiments.experiment_registry.")
    for heading, part in (("an explanation", ""), ("a part ## Write instead", "instead")):
        if not sections.get(part):
            raise UserError(f"The claim {path} needs {heading}.")
    try:
        conditions: dict[Verdict, Condition] = {
            verdict: parse_condition(fields[f"{verdict} if"]) for verdict in CONDITIONAL if f"{verdict} if" in fields
        }
        for part in sections.values():
            names_in(part)
    except ValueError as error:
        raise UserError(f"The claim {path} cannot be read: {error}.") from error
    if not conditions and is_measured:
        raise UserError(f"The claim {path} needs a condition: a line such as true if: vocabulary == 50257.")
    return Claim(
        name=name,
        number=int(number),
        title=title[2:].strip(),
        experiment=fields.get("experiment", ""),
        conditions=conditions,
        explanation=sections[""],
        by_verdict={verdict: sections[verdict] for verdict in TITLES if verdict in sections},
        instead=sections["instead"],
        prompt=fields.get("prompt", ""),
        inputs={key.removeprefix(_INPUT): value for key, value in fields.items() if key.startswith(_INPUT)},
        sources=sources,
        said=said,
    )


def _fields(path: Path, text: str) -> tuple[dict[str, str], tuple[str, ...], str]:
    """The fields, the sources, and the text after them."""
    lines = text.strip().splitlines()
    head = [line.strip() for line in takewhile(str.strip, lines)]
    fields: dict[str, str] = {}
    sources: list[str] = []
    for line in head:
        match = _FIELD.fullmatch(line)
        if match is None or match[1] in fields or not (match[1] in _FIELDS or match[1].startswith(_INPUT)):
            allowed = f"{', '.join(_FIELDS)} and input NAME, a colon and a value; source may repeat"
            raise UserError(f"The claim {path} has a line {line!r} before its text, where each is one of {allowed}.")
        if match[1] == "source":
            sources.append(match[2])
        else:
            fields[match[1]] = match[2]
    return fields, tuple(sources), "\n".join(lines[len(head) :])


def _sections(path: Path, text: str) -> dict[str, str]:
    """The parts of the text: "" is the explanation, the others by the values of SECTIONS."""
    parts = re.split(r"^## +(.+?)\s*$", text, flags=re.MULTILINE)
    found = {"": parts[0].strip()}
    for heading, body in zip(parts[1::2], parts[2::2], strict=True):
        if heading not in SECTIONS or SECTIONS[heading] in found:
            raise UserError(f"The claim {path} has a heading {heading!r}; it may have {', '.join(SECTIONS)}, each once.")
        found[SECTIONS[heading]] = body.strip()
    return found


def load_claims(folder: Path = CLAIMS) -> list[Claim]:
    """All claims, by subject. Raises: UserError: where a file is not in the form of `claim`, or two have one name."""
    found = [parse_claim(path, read_in_language(path)) for path in sorted(folder.rglob("*.md"))]
    names = [claim.name for claim in found]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise UserError(f"Two claims in {folder} are called {twice[0]}; rename one of the files.")
    return sorted(found, key=lambda claim: (claim.number, claim.name))


@dataclass(frozen=True)
class CheckedClaim:
    claim: Claim
    verdict: Verdict
    reason: str = ""
    """One sentence on why it cannot be checked; "" for the other verdicts."""
    measures: Mapping[str, Measure] = field(default_factory=dict)
    view: View | None = None
    """The picture of its experiment; None if there is none, or it was refused."""

    @property
    def mark(self) -> str:
        return MARKS[self.verdict]

    def explanation(self, escape: Callable[[str], str] = str) -> str:
        """Markdown, for this verdict and with its figures."""
        parts = (self.claim.by_verdict.get(self.verdict, ""), self.claim.explanation)
        return "\n\n".join(filter(None, (fill(part, self.measures, escape) for part in parts)))

    def instead(self, escape: Callable[[str], str] = str) -> str:
        """Markdown with figures: the note that holds."""
        return fill(self.claim.instead, self.measures, escape)


def check_claim(claim: Claim, result: ExperimentResult | None = None) -> CheckedClaim:
    """The verdict on a claim from the result of its experiment, that of its sources where it has none."""
    if result is None:
        return CheckedClaim(claim, claim.said)
    reason, verdict = "", claim.said
    try:
        held = [kind for kind, condition in claim.conditions.items() if condition.holds(result.measures)]
        verdict = held[0] if held else "not so"
    except MissingMeasureError as missing:
        reason = result.missing or f"the experiment {claim.experiment} measured no {missing} here."
    except ValueError as error:
        reason = f"The claim {claim.name} cannot be checked: {error}."
    return CheckedClaim(claim, verdict, reason, result.measures, result.view)
