"""Export of the learner's functions as one file, `my_gpt.py`, that trains and writes without the lab."""

import ast
import importlib.util
from collections.abc import Collection, Mapping
from pathlib import Path

from lab.core.errors import UserError
from lab.core.safe_open import read_regular
from lab.exercises.exercise import NAMES, beside_the_functions, words_of
from lab.exercises.learner_files import LARGEST_FILE

LAB = {"lab", "models", "screens"}
USUAL = {"numpy": "np", "torch.nn.functional": "F"}
"""Names that modules have in every file."""
HEAD = '''"""A GPT-2 in one file. It needs torch (and what its functions import):

    python my_gpt.py TEXT [STEPS]

{words}
"""
'''
SCOPE = """def part():
    __name__ = "{name}"

{source}

    return {name}"""
"""Of a file that has more than imports and its function."""
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
        UserError: if a file cannot be read, or has what one file cannot have, such as an import of the lab.
    """
    put_in, training = beside_the_functions()
    futures, parts = set[str](), list[str]()
    for name in NAMES:
        words = words_of(name)
        try:
            source = importlib.util.decode_source(read_regular(mine[name], LARGEST_FILE)) if name in mine else words.solution
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"{words.file_name} cannot be read: {error}.") from error
        tree = ast.parse(source)
        _refuse(tree, words.file_name)
        source, made = _without_futures(source, futures), name
        if not all(_is_plain(node, name) for node in tree.body):
            made, source = "part()", SCOPE.format(source=_indented(source).strip("\n"), name=name)
        is_whose = "yours" if name in mine else "the lab's plain solution, until yours passes"
        parts.append(f"\n\n# {words.number}. {words.title}: {is_whose}\n\n{source.strip()}\n")
        parts.append(f'\n\n{name} = put_in("{name}", {made})\n')
    top = f"\nfrom __future__ import {', '.join(sorted(futures))}\n" if futures else ""
    parts.append(f"\n\n# Training and writing\n\n{training}\n{END}")
    return "".join((HEAD.format(words=whose(mine)), top, f"\n{put_in}\n", *parts))


def _without_futures(source: str, futures: set[str]) -> str:
    """The source without its imports from `__future__`, whose names are added: they have to stand at the top of a file."""
    lines = source.split("\n")
    for node in reversed(ast.parse(source).body):
        if isinstance(node, ast.ImportFrom) and node.module == "__future__":
            futures |= {each.name for each in node.names}
            first, last = (lines[at - 1].encode() for at in (node.lineno, node.end_lineno or 0))
            kept = first[: node.col_offset] + last[node.end_col_offset :].lstrip(b" \t;")
            lines[node.lineno - 1 : node.end_lineno] = [kept.decode()]
    return "\n".join(lines)


def _refuse(tree: ast.Module, file_name: str) -> None:
    """Say what one file cannot have, if there is something."""
    for node in ast.walk(tree):
        instead = "keep the value in a dict" if isinstance(node, ast.Global) else ""
        if isinstance(node, ast.Import | ast.ImportFrom):
            modules = [each.name for each in node.names] if isinstance(node, ast.Import) else [node.module or ""]
            instead = "name what you import" if node.names[0].name == "*" else ""
            instead = "write it yourself" if LAB & {each.split(".")[0] for each in modules} else instead
        if instead:
            at = f"{file_name}, line {getattr(node, 'lineno', 0)}"
            raise UserError(f"{at}, has `{ast.unparse(node)}`, which one file cannot have; {instead}.")


def _is_plain(node: ast.stmt, name: str) -> bool:
    """True for the function, for an import that means the same in all files, and for a text."""
    if isinstance(node, ast.Import):
        return all(each.name not in NAMES and each.asname in (None, USUAL.get(each.name)) for each in node.names)
    if isinstance(node, ast.ImportFrom):
        return node.module == "__future__" or all(each.name == node.module in NAMES and not each.asname for each in node.names)
    is_text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    return is_text or (isinstance(node, ast.FunctionDef) and node.name == name)


def _indented(source: str) -> str:
    """The source for a scope of its own, where its texts of several lines stay as they are."""
    texts = set[int]()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant | ast.JoinedStr):
            texts |= {*range(node.lineno + 1, (node.end_lineno or 0) + 1)}
    lines = enumerate(source.split("\n"), 1)
    return "\n".join(line if at in texts or not line else "    " + line.lstrip("\f") for at, line in lines)
