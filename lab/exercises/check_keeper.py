"""Process between the lab and a check, `python -P -m lab.exercises.check_keeper FD`: what the learner's code has as its parent.

It starts the check and ends as the check does. Once the lab is gone it ends both; a check that was stopped
could not do so itself.
"""

import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress


def main() -> None:
    request = sys.stdin.buffer.readline()
    threading.Thread(target=_end_with_lab, daemon=True).start()
    command = [sys.executable, "-P", "-m", "lab.exercises.check_process", sys.argv[1]]
    code = subprocess.run(command, input=request, pass_fds=(int(sys.argv[1]),), check=False).returncode
    if code < 0:
        with suppress(OSError):  # SIGKILL has no other meaning
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code)


def _end_with_lab() -> None:
    while os.read(0, 1):
        pass
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    main()
