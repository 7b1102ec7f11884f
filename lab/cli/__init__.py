"""The command `llmlab`: the entry point, and in `commands` one file per command.

With no arguments it opens the lab, and then imports nothing that the first screen does not need. Begin with
`command_registry`, the list of commands. Nothing here imports torch before a command runs. Imports `models`, `lab.core`,
`lab.views`, `lab.runs`, `lab.data`, `lab.tokenization`, `lab.planning`, `lab.training`, `lab.analysis`, `lab.training.scaling`,
`lab.training.posttraining`, `lab.inspect`, `lab.experiments`, `lab.exchange`, `lab.lessons`, `lab.exercises`,
`lab.bench` and `screens`.
"""

import gc
import os
import signal
import sys
from importlib import import_module
from types import FrameType, ModuleType
from typing import Any

from models.installation import NOT_ON_WINDOWS

COMPLETION = "_LLMLAB_COMPLETE"
"""Environment variable by which a shell asks click for its script, and then for completions."""


def main() -> int:
    """Run the command line and return the exit code: 0, 1 for a failure, 2 for a mistake, 130 for Ctrl-C."""
    if sys.platform == "win32":
        print(f"llmlab: {NOT_ON_WINDOWS}", file=sys.stderr)
        return 2
    try:
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, _interrupt)
        for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
            if getattr(sys, name) is None:  # closed: no file of a run may get its descriptor
                setattr(sys, name, open(os.devnull, mode))  # noqa: SIM115
        if os.getpid() == 1:
            from lab.cli.container_init import run_below_process_one

            return run_below_process_one(lambda: _main(sys.argv[1:]))
        return _main(sys.argv[1:])
    except KeyboardInterrupt:
        return 130


def _interrupt(number: int, frame: FrameType | None) -> None:
    """Ctrl-C. While torch is imported it ends the process at once: what is raised there is lost, or becomes another error."""
    if getattr(getattr(sys.modules.get("torch"), "__spec__", None), "_initializing", False):
        os._exit(130)
    signal.default_int_handler(number, frame)


def _main(arguments: list[str]) -> int:
    try:
        os.getcwd()
    except FileNotFoundError:  # PyTorch does not load there, and a path leads nowhere
        if not {"-h", "--help", "--version"} & set(arguments):
            print("llmlab: the folder that you are in is no longer there; go to another one with cd.", file=sys.stderr)
            return 2
    from lab.core.config_file import UNICODE, read_config
    from lab.runs.home_folder import home

    if (signs := read_config(home()).settings.get("unicode")) is not None:
        os.environ.setdefault(UNICODE, str(int(signs)))
    if completes := COMPLETION in os.environ:  # a shell asks, which gives no arguments
        import_module("lab.cli.completion")
    if arguments or completes:
        from lab.cli.command_registry import run

        return run(arguments)
    if problem := problem_of_terminal():
        print(f"llmlab: {problem}", file=sys.stderr)
        return 2
    code: int = import_lab().run()
    return code


def import_lab() -> ModuleType:
    """`screens.app`, imported without looking for garbage, of which there is none; its first paint ends that."""
    gc.disable()
    return import_module("screens.app")


def own_settings() -> Any:
    """The rows of all settings, and the problems of the user's file: keys are known to the screens."""
    return import_module("screens.own_keys").settings_table()


def open_lab_on(mirror: Any) -> int:
    """Open the lab on a `RunMirror` and stay until the user leaves; returns the exit code."""
    from screens.watch_app import WatchApp

    app = WatchApp(mirror)
    app.run()
    return app.return_code or 0


def problem_of_terminal() -> str:
    """Why the lab cannot open here, as a sentence; empty where it can."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        return "the lab opens in a terminal only; `llmlab --help` lists the commands that work without one."
    from lab.core.terminal import NO_CURSOR, places_text

    if not places_text(os.environ):
        kind = os.environ.get("TERM", "")
        named = f"TERM is {kind!r}, which names" if kind in NO_CURSOR[1:] else "TERM is not set: that is"
        return (
            f"{named} no terminal that can place text on its screen; set TERM to yours, such as xterm-256color, "
            "or use the commands that `llmlab --help` lists."
        )
    from lab.lessons.translation import problem_of_language

    return problem_of_language(os.environ)
