"""Read the claims: Markdown files of `lab/lessons/claims`, in the order of their numbers."""

from pathlib import Path

from lab.core.errors import UserError
from lab.experiments.experiment_registry import EXPERIMENTS
from lab.lessons.claim_checker.claim import Claim, parse_claim
from lab.lessons.load_lessons import CLAIMS, read_lesson_file


def load_claims(folder: Path = CLAIMS) -> list[Claim]:
    """All claims. Raises: UserError: where a file is not in the form of `claim`, or two have one name."""
    found = [parse_claim(path, read_lesson_file(path), EXPERIMENTS) for path in sorted(folder.glob("*.md"))]
    names = [claim.name for claim in found]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise UserError(f"Two claims in {folder} are called {twice[0]}; rename one of the files.")
    return sorted(found, key=lambda claim: (claim.number, claim.name))
