"""The user's own editor: a file opened in it, while the lab stands still."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
from pathlib import Path

from textual.app import App, SuspendNotSupported

from lab.core.visible_text import quoted


def editor_command() -> str:
    """The command in $VISUAL or $EDITOR; "" where neither names one."""
    return os.environ.get("VISUAL", "").strip() or os.environ.get("EDITOR", "").strip()


def edit(app: App[object], path: Path, where: str) -> str:
    """Open a file in the editor until it ends. Returns the problem that it met, in a sentence that ends with `where` it is."""
    command = editor_command()
    if not command:
        return f"Neither $VISUAL nor $EDITOR names an editor; {where}"
    try:
        words = [*shlex.split(command), str(path)]
        with app.suspend():
            before = signal.signal(signal.SIGINT, lambda *_: None)  # ctrl+c there is for the editor
            try:
                code = subprocess.run(words, check=False).returncode
            finally:
                signal.signal(signal.SIGINT, before)
    except SuspendNotSupported:
        return f"No editor can be opened on this terminal; {where}"
    except (OSError, ValueError) as error:
        return f"{quoted(command)} cannot be opened, {error}; {where}"
    return f"{quoted(words[0])} ended with exit code {code}." if code else ""
