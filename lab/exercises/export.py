"""Export of the learner's functions as one file, `my_gpt.py`, that trains and writes without the lab."""

import ast
from collections.abc import Mapping
from pathlib import Path

from lab.core.errors import UserError
from lab.core.safe_open import read_regular
from lab.exercises.exercise import NAMES, training_code, words_of
from lab.exercises.learner_files import LARGEST_FILE

LAB = {"lab", "models", "screens"}
HEAD = '''"""A GPT-2 in one file. It needs torch (and what its functions import):

    python my_gpt.py TEXT [STEPS]

{words}
"""
'''
END = f"""

{", ".join(NAMES)} = map(
    put_in, ({", ".join(NAMES)})
)

if __name__ == "__main__":
    main()
"""


def my_gpt(mine: Mapping[str, Path]) -> str:
    """The text of the file: the functions that pass, plain solutions of the others, training and writing.

    Raises:
        UserError: if two of the files give one name two meanings, or one cannot be read, or imports the lab or a whole exercise.
    """
    defined, parts = dict[str, tuple[str, str]](), list[str]()
    for name in NAMES:
        words = words_of(name)
        try:
            source = read_regular(mine[name], LARGEST_FILE).decode() if name in mine else words.solution
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"{words.file_name} cannot be read: {error}.") from error
        kept, meanings = _without_imports(source, words.file_name)
        for each, meaning in meanings.items():
            other, earlier = defined.setdefault(each, (words.file_name, meaning))
            if meaning != earlier:
                raise UserError(f"{other} and {words.file_name} both define `{each}`, and one file has room for one; rename one.")
        whose = "yours" if name in mine else "the lab's plain solution, until yours passes"
        parts.append(f"\n\n# {words.number}. {words.title}: {whose}\n\n{kept.strip()}\n")
    missing = [str(words_of(name).number) for name in NAMES if name not in mine]
    whose = f"All functions but {', '.join(missing)} are yours." if missing else "All its functions are yours."
    return "".join((HEAD.format(words=whose), *parts, f"\n\n# Training and writing\n\n{training_code().strip()}\n", END))


def _without_imports(source: str, file_name: str) -> tuple[str, dict[str, str]]:
    """The source without imports of other exercises and without what runs only by itself; its definitions by name."""
    lines, meanings = source.split("\n"), dict[str, str]()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            named = [each.name for each in node.names] if isinstance(node, ast.Import) else [node.module or ""]
            if LAB & {each.split(".")[0] for each in named}:
                raise UserError(
                    f"{file_name}, line {node.lineno}, imports the lab, which one file does without; write it yourself."
                )
    for node in reversed(ast.parse(source).body):
        instead: list[str] | None = None
        if isinstance(node, ast.Import) and any(each.name in NAMES for each in node.names):
            name = next(each.name for each in node.names if each.name in NAMES)
            raise UserError(f"{file_name} has `import {name}`; for one file it has to be `from {name} import {name}`.")
        if isinstance(node, ast.ImportFrom) and node.module in (*NAMES, "__future__"):
            instead = [f"{each.asname} = {each.name}" for each in node.names if each.asname and each.asname != each.name]
        elif isinstance(node, ast.If) and "__name__" in ast.unparse(node.test):
            instead = []
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            meanings[node.name] = ast.dump(node)
        elif isinstance(node, ast.Assign):
            meanings |= {each.id: ast.dump(node.value) for each in node.targets if isinstance(each, ast.Name)}
        if instead is not None:
            lines[node.lineno - 1 : node.end_lineno] = instead
    return "\n".join(lines), meanings
