"""Material of checks: a model without a text of its own is checked on the demo's."""

import shutil
from pathlib import Path

from lab.exercises.cases import CASES
from lab.exercises.material import Material
from lab.runs.home_folder import demo
from lab.runs.run_folder import Run


def test_a_model_without_a_text_is_checked_on_the_demos(tmp_path: Path) -> None:
    run = Run(shutil.copytree(demo(), tmp_path / "imported"))
    own = Material(run, "The cat").text_ids
    run.tokens_path.unlink()
    material = Material(run, "The cat")
    assert material.text_ids == own == Material(Run(demo()), "The cat").text_ids
    assert all(make(material) for make in CASES.values())
