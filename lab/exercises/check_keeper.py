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
    request, answers = sys.stdin.buffer.readline(), int(sys.argv[1])
    command = [sys.executable, "-P", "-m", "lab.exercises.check_process", str(answers)]
    check = subprocess.Popen(command, stdin=subprocess.PIPE, pass_fds=(answers,))
    os.close(answers)
    threading.Thread(target=_end_with_lab, daemon=True).start()
    check.communicate(request)
    if check.returncode < 0:
        with suppress(OSError):  # SIGKILL has no other meaning
            signal.signal(-check.returncode, signal.SIG_DFL)
        os.kill(os.getpid(), -check.returncode)
    os._exit(check.returncode)


def _end_with_lab() -> None:
    while os.read(0, 1):
        pass
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    main()
