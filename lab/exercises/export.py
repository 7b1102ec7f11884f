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
        UserError: if a file cannot be read, imports the lab, or has what works in a file of its own alone.
    """
    put_in, training = beside_the_functions()
    futures, parts = set[str](), list[str]()
    for name in NAMES:
        words = words_of(name)
        try:
            source = importlib.util.decode_source(read_regular(mine[name], LARGEST_FILE)) if name in mine else words.solution
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"{words.file_name} cannot be read: {error}.") from error
        made, source, tree = name, _without_futures(source, futures), ast.parse(source)
        _refuse_the_lab(tree, words.file_name)
        if not all(_is_plain(node, name) for node in tree.body):
            made, source = "part()", SCOPE.format(source=_indented(source, words.file_name).strip("\n"), name=name)
        is_whose = "yours" if name in mine else "the lab's plain solution, until yours passes"
        title = f"{words.number}. {words.title}: {is_whose}"
        parts.append(f'\n\n# {title}\n\n{source.strip()}\n\n\n{name} = put_in("{name}", {made})\n')
    top = f"\nfrom __future__ import {', '.join(sorted(futures))}\n" if futures else ""
    head = f"{HEAD.format(words=whose(mine))}{top}\n{put_in}\n"
    return "".join((head, *parts, f"\n\n# Training and writing\n\n{training}\n", END))


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


def _refuse_the_lab(tree: ast.Module, file_name: str) -> None:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            named = [each.name for each in node.names] if isinstance(node, ast.Import) else [node.module or ""]
            if LAB & {each.split(".")[0] for each in named}:
                raise UserError(f"{file_name}, line {node.lineno}, imports the lab, which one file has not; write it yourself.")


def _is_plain(node: ast.stmt, name: str) -> bool:
    """True for the function, for an import that means the same in all files, and for a text."""
    if isinstance(node, ast.FunctionDef):
        return node.name == name and not any(isinstance(each, ast.Global) for each in ast.walk(node))
    if isinstance(node, ast.Import):
        return all(each.name not in NAMES and each.asname in (None, USUAL.get(each.name)) for each in node.names)
    if isinstance(node, ast.ImportFrom):
        return node.module == "__future__" or all(each.name == node.module in NAMES and not each.asname for each in node.names)
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _indented(source: str, file_name: str) -> str:
    """The source for a scope of its own, where its texts of several lines stay as they are."""
    texts = set[int]()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Global) or (isinstance(node, ast.ImportFrom) and node.names[0].name == "*"):
            instead = "keep the value in a dict" if isinstance(node, ast.Global) else "name what you import"
            at = f"{file_name}, line {node.lineno}"
            raise UserError(f"{at}, has `{ast.unparse(node)}`, which works in a file of its own alone; {instead}.")
        if isinstance(node, ast.Constant | ast.JoinedStr):
            texts |= {*range(node.lineno + 1, (node.end_lineno or 0) + 1)}
    lines = enumerate(source.split("\n"), 1)
    return "\n".join(line if at in texts or not line else "    " + line.lstrip("\f") for at, line in lines)
