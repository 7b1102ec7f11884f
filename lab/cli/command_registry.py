"""The command line of `llmlab`: its commands, each imported when it is called, numbers within limits, mistakes in one line."""

import errno
import keyword
from importlib import import_module
from typing import TYPE_CHECKING, Any

import click

from lab.cli.output import make_terminals_visible
from lab.core.errors import is_out_of_memory
from lab.core.limits import Limit
from lab.core.machine import memory_ran_out, no_room_for_torch
from lab.core.visible_text import shortened

FAILED = 1
MISTAKE = 2
INTERRUPTED = 130


COMMANDS = (
    "train",
    "resume",
    "stop",
    "pause",
    "runs",
    "watch",
    "rename",
    "delete",
    "posttrain",
    "import",
    "export",
    "generate",
    "chat",
    "trace",
    "report",
    "claims",
    "features",
    "write",
    "scaling",
    "data",
    "tokenize",
    "params",
    "cache",
    "notes",
    "config",
    "serve",
    "bench",
)
"""In the order of the help; each is in its module of `lab.cli.commands`."""

MISTAKES = {
    ("lab.core.errors", "UserError"),
    ("models.config", "ConfigError"),
    ("models.config", "TokenizerError"),
    ("models.sampling", "LogitsError"),
}
"""Exceptions whose message is one sentence for the user, by name, so that reporting one does not import the others."""

OUTSIDE = (
    *(errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.EFBIG),
    *(errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG),
)
"""Errors of the system that are not the lab's: permissions, disk space, and paths that can lead nowhere."""

LONGEST_WORD = 250
"""Longest word of the input, such as a path, that a message repeats in full, in characters."""


class Commands(click.Group):
    """A click group that imports a command's module when the command is named."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        function = f"{name}_" if keyword.iskeyword(name) else name
        command = getattr(import_module(f"lab.cli.commands.{name}_command"), function)
        assert isinstance(command, click.Command)
        return command


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="llmlab", message="%(package)s %(version)s")
def llmlab() -> None:
    """A learning lab for language models in the terminal.

    Without a command it opens the lab: choose a text, train a GPT-2 on it, step through its forward pass. The commands do the
    same without a screen. RUN is the name of a run, the path of its folder, or `demo`, a model that ships with the lab.

    Tab completes commands, options, runs and files after `eval "$(_LLMLAB_COMPLETE=bash_source llmlab)"`; in zsh and fish
    with zsh_source and fish_source.
    """


def complain(message: str) -> None:
    """Write one line to stderr."""
    line = " ".join(shortened(word, LONGEST_WORD) for word in message.split())
    click.echo(f"llmlab: {line}", err=True)


def run(arguments: list[str]) -> int:
    """Run a command and return the exit code. A user's mistake is one line on stderr; a bug keeps its traceback."""
    make_terminals_visible()
    no_room = no_room_for_torch()  # known before it is needed: there would be no room to find it out
    try:
        result: Any = llmlab.main(arguments, prog_name="llmlab", standalone_mode=False)
        return result if isinstance(result, int) else 0
    except click.Abort:
        return INTERRUPTED
    except click.UsageError as error:
        named = " ".join(["llmlab", *(name for name in arguments[:1] if name in COMMANDS)])
        complain(f"{error.format_message().rstrip('.')}. `{named} --help` explains.")
        return MISTAKE
    except click.ClickException as error:
        complain(error.format_message())
        return MISTAKE
    except OSError as error:
        if error.errno == errno.ENOMEM:
            complain(no_room or memory_ran_out())
            return FAILED
        if error.errno not in OUTSIDE:
            raise
        complain(f"{error.filename}: {error.strerror}." if error.filename else f"{error.strerror}.")
        return MISTAKE
    except Exception as error:
        if any((kind.__module__, kind.__name__) in MISTAKES for kind in type(error).__mro__):
            complain(str(error))
            return MISTAKE
        if not is_out_of_memory(error) and not (no_room and isinstance(error, ImportError | SystemError)):
            raise
        complain(no_room or memory_ran_out())
        return FAILED


if TYPE_CHECKING:
    NumberType = click.ParamType[int | float]
else:
    NumberType = click.ParamType  # not generic in older versions


class Within(NumberType):
    """A number within a limit; an integer where `whole` is set."""

    name = "number"

    def __init__(self, limit: Limit, *, whole: bool = True) -> None:
        self.limit = limit
        self.whole = whole

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | float:
        """Parse the number; click shows the message of `fail`."""
        typed = shortened(str(value), 40)
        try:
            number: float = int(value) if self.whole else float(value)
        except ValueError:
            is_long = self.whole and str(value).isdecimal()  # Python reads no more than 4,300 digits
            number = float("inf") if is_long else float("nan")
        if number != number:
            kind = "a whole number" if self.whole else "a number"
            self.fail(f"it must be {kind} {'of ' if self.whole else ''}{self.limit.lowest}, not {typed!r}.", param, ctx)
        if problem := self.limit.problem(number):
            self.fail(f"it must {problem}, not {typed}.", param, ctx)
        return number
