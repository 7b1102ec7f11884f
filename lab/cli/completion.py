"""What a shell completes: the names of runs, built-in texts and paths, each as the type of an argument or option.

Click has the scripts: `eval "$(_LLMLAB_COMPLETE=bash_source llmlab)"`, and likewise zsh_source and fish_source.
"""

import glob
import os
import shlex
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import click
from click.shell_completion import BashComplete, CompletionItem, add_completion_class

from lab.data.builtin_texts import BUILTINS
from lab.runs.find_runs import is_run, run_folders
from lab.runs.home_folder import BUNDLED

if TYPE_CHECKING:
    TextType = click.ParamType[str]
else:
    TextType = click.ParamType  # not generic in older versions


class Completed(TextType):
    """A text of which the shell completes some words; where none begins as typed, a path: of a "file" or a "dir"."""

    def __init__(self, name: str, path: str, words: Callable[[str], Iterable[str]]) -> None:
        self.name, self.path, self.words = name, path, words

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        found = [CompletionItem(word) for word in self.words(incomplete) if word.startswith(incomplete)]
        return found or [CompletionItem(incomplete, type=self.path)]


def _builtin_texts(typed: str) -> Iterable[str]:
    """The built-in texts, where no file begins so: a shell completes the ones or the others."""
    return BUILTINS if typed and not glob.glob(f"{glob.escape(os.path.expanduser(typed))}*") else ()


RUN = Completed("run", "dir", lambda _: [*sorted(path.name for path in run_folders() if is_run(path)), *BUNDLED])
TEXT = Completed("text", "file", _builtin_texts)
FILE = Completed("file", "file", lambda _: ())


class QuotingBashComplete(BashComplete):
    """Completions for bash, which inserts them as they are: a run's name with a space needs its quotes."""

    def format_completion(self, item: CompletionItem) -> str:
        quoted = shlex.quote(item.value) if item.type == "plain" and " " in item.value else item.value
        return super().format_completion(CompletionItem(quoted, item.type))


add_completion_class(QuotingBashComplete, "bash")
