"""Export of the learner's functions as one file, `my_gpt.py`, that trains and writes without the lab."""

import ast
from collections.abc import Collection, Mapping
from pathlib import Path

from lab.core.errors import UserError
from lab.core.safe_open import read_regular
from lab.exercises.exercise import NAMES, beside_the_functions, words_of
from lab.exercises.learner_files import LARGEST_FILE

LAB = {"lab", "models", "screens"}
HEAD = '''"""A GPT-2 in one file. It needs torch (and what its functions import):

    python my_gpt.py TEXT [STEPS]

{words}
"""
'''
SCOPE = "def part():\n{source}\n\n    return {name}"
"""Of a file that defines a name of another one anew."""
END = '\n\nif __name__ == "__main__":\n    main()\n'


def whose(mine: Collection[str]) -> str:
    """Which of the file's functions are the learner's, in a sentence."""
    numbers = ", ".join(str(words_of(name).number) for name in NAMES if name in mine)
    if not mine:
        return "None of yours has passed a check yet: all its functions are the lab's plain solutions."
    return "All its functions are yours." if len(mine) == len(NAMES) else f"Yours: {numbers}. The others are the lab's."


def my_gpt(mine: Mapping[str, Path]) -> str:
    """The text of the file: the functions that pass, plain solutions of the others, training and writing.

    Raises:
        UserError: if a file cannot be read, imports the lab or a whole exercise, or has no room beside another.
    """
    put_in, training = beside_the_functions()
    defined, parts = _meanings(put_in) | _meanings(training), list[str]()
    for name in NAMES:
        words = words_of(name)
        try:
            source = read_regular(mine[name], LARGEST_FILE).decode() if name in mine else words.solution
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"{words.file_name} cannot be read: {error}.") from error
        source = _without_imports(source, words.file_name).strip()
        made, meanings = name, _meanings(source).items()
        anew = (each for each, meaning in meanings if each in NAMES or defined.get(each, meaning) != meaning)
        if other := next((each for each in anew if each != name), ""):
            made, source = "part()", SCOPE.format(source=_indented(source, words.file_name, other), name=name)
        else:
            defined |= dict(meanings)
        is_whose = "yours" if name in mine else "the lab's plain solution, until yours passes"
        parts.append(f"\n\n# {words.number}. {words.title}: {is_whose}\n\n{source}\n\n\n{name} = put_in({made})\n")
    return "".join((HEAD.format(words=whose(mine)), f"\n{put_in}\n", *parts, f"\n\n# Training and writing\n\n{training}\n", END))


def _meanings(source: str) -> dict[str, str]:
    """What a source defines or imports, by name."""
    found = dict[str, str]()
    for node in ast.parse(source).body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            module = getattr(node, "module", "")
            found |= {each.asname or each.name: f"{module} {each.name}" for each in node.names}
            continue
        stored = [each.id for each in ast.walk(node) if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store)]
        found |= dict.fromkeys([node.name] if isinstance(node, ast.FunctionDef | ast.ClassDef) else stored, ast.dump(node))
    return found


def _indented(source: str, file_name: str, name: str) -> str:
    """The source for a scope of its own, where its texts of several lines stay as they are."""
    texts = set[int]()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Global) or (isinstance(node, ast.ImportFrom) and node.names[0].name == "*"):
            raise UserError(f"{file_name} defines `{name}` as another part does, and line {node.lineno} needs a file; rename it.")
        if isinstance(node, ast.Constant | ast.JoinedStr):
            texts |= {*range(node.lineno + 1, (node.end_lineno or 0) + 1)}
    lines = enumerate(source.split("\n"), 1)
    return "\n".join(line if at in texts or not line else f"    {line}" for at, line in lines)


def _without_imports(source: str, file_name: str) -> str:
    """The source without imports of other exercises and without what runs only by itself."""
    lines = source.split("\n")
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            named = [each.name for each in node.names] if isinstance(node, ast.Import) else [node.module or ""]
            if LAB & {each.split(".")[0] for each in named}:
                raise UserError(f"{file_name}, line {node.lineno}, imports the lab, which one file has not; write it yourself.")
    for node in reversed(ast.parse(source).body):
        instead: list[str] | None = None
        if isinstance(node, ast.Import) and any(each.name in NAMES for each in node.names):
            name = next(each.name for each in node.names if each.name in NAMES)
            raise UserError(f"{file_name} has `import {name}`; for one file it has to be `from {name} import {name}`.")
        if isinstance(node, ast.ImportFrom) and node.module in (*NAMES, "__future__"):
            instead = [f"{each.asname} = {each.name}" for each in node.names if each.asname and each.asname != each.name]
        elif isinstance(node, ast.If) and "__name__" in ast.unparse(node.test):
            instead = []
        if instead is not None:
            lines[node.lineno - 1 : node.end_lineno] = instead
    return "\n".join(lines)
