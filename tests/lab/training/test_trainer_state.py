"""The trainer's state has one owner: its own methods."""

import ast
from pathlib import Path

import lab
from lab.training.trainer_state import TrainerState


def test_only_the_state_assigns_its_fields() -> None:
    assigned = []
    root = Path(lab.__file__).parent
    sources = {path: path.read_text(encoding="utf-8") for path in root.rglob("*.py")}
    for path, source in sources.items():
        for node in ast.walk(ast.parse(source)) if "state." in source else ():
            targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AugAssign) else []
            for target in (part for each in targets for part in ast.walk(each)):
                if isinstance(target, ast.Attribute) and target.attr in TrainerState.__struct_fields__:
                    owner = target.value
                    name = owner.attr if isinstance(owner, ast.Attribute) else owner.id if isinstance(owner, ast.Name) else ""
                    if name in ("state", "_state"):
                        assigned.append(f"{path.relative_to(root)}:{target.lineno} {target.attr}")
    assert assigned == []
