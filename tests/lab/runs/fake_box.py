"""Another machine that is this one: an `ssh` on PATH whose connections are shells here, and may be cut."""

import os
import signal
import time
from contextlib import suppress
from pathlib import Path

import pytest

SSH = """#!/bin/sh
[ -e {folder}/cut ] && {{ echo "ssh: connect to host box port 22: Connection refused" >&2; exit 255; }}
while [ "$1" != "--" ]; do shift; done
echo $$ >> {folder}/shells
echo "Welcome to box!"
cd {folder}
unset LLMLAB_HOME LLMLAB_MIRROR
HOME={folder} PATH={folder}/bin:$PATH exec sh -c "$3"
"""


class FakeBox:
    """`home` is where its runs are usually kept; a program in `bin` stands in the place of the system's own."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self.folder, self.home = folder, folder / ".local/share/llmlab/runs"
        self.home.mkdir(parents=True)
        (folder / "bin").mkdir()
        (folder / "client").mkdir()
        ssh = folder / "client/ssh"
        ssh.write_text(SSH.format(folder=folder))
        ssh.chmod(0o755)
        patch.setenv("PATH", f"{ssh.parent}{os.pathsep}{os.environ['PATH']}")
        patch.delenv("XDG_DATA_HOME", raising=False)

    def program(self, name: str, script: str) -> None:
        """Replace a program of the machine."""
        path = self.folder / "bin" / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    def cut(self) -> None:
        """Lose all connections, and take no new ones."""
        (self.folder / "cut").touch()
        for number in self.shells():
            with suppress(ProcessLookupError):
                os.kill(number, signal.SIGKILL)

    def mend(self) -> None:
        """Take connections again."""
        (self.folder / "cut").unlink()

    def shells(self) -> list[int]:
        """The processes of all connections that there were."""
        return [int(line) for line in (self.folder / "shells").read_text().split()]


def wait_until(condition: object, seconds: float = 20.0) -> None:
    """Wait until a condition holds. Fails where it does not in that time."""
    assert callable(condition)
    give_up = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < give_up
        time.sleep(0.02)
