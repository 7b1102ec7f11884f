"""An engine over real pipes whose methods need no torch: what the tests of the client talk to. Run as a script."""

import os
import subprocess
import sys
import threading
import time

import msgspec

from lab.core.errors import UserError
from lab.engine.method_registry import EngineMethod
from lab.engine.process import claim_pipes
from lab.engine.server import Implementation, Server
from models.check import check


class Params(msgspec.Struct):
    text: str = ""
    n: int = 0
    seconds: float = 0.0
    until: str = ""
    """What has to be served before the last part."""


LOG = EngineMethod("log", Params, list[str])
TOLD = ECHO, SLOW, QUESTION, JOB, OTHER_JOB, REFUSE, FAIL, POLLUTE, DIE = tuple(
    EngineMethod(name, Params, str, is_job=name.endswith("job"))
    for name in ("echo", "slow", "question", "job", "other_job", "refuse", "fail", "pollute", "die")
)

served: list[str] = []


def echo(params: Params) -> str:
    served.append(params.text)
    return params.text


def slow(params: Params) -> str:
    time.sleep(params.seconds)
    return echo(params)


def log(params: Params) -> list[str]:
    return served


def question(params: Params) -> str:
    for i in range(params.n):
        while params.until and i == params.n - 1 and params.until not in served:
            time.sleep(0.001)
            check()
        served.append(f"part {i} of {params.text}")
        print(served[-1], file=sys.stderr, flush=True)
        time.sleep(params.seconds)
        check()
    return params.text


job = other_job = question


def refuse(params: Params) -> str:
    raise UserError("There is no run called x; did you mean y?")


def fail(params: Params) -> str:
    raise ZeroDivisionError("division by zero")


def pollute(params: Params) -> str:
    print("python print")
    os.write(1, b"native print\n")
    subprocess.run([sys.executable, "-c", "print('print of a child')"], check=True)
    return "clean"


def die(params: Params) -> str:
    print("about to die of thirst", file=sys.stderr, flush=True)
    os._exit(7)


def main() -> None:
    requests, replies = claim_pipes()
    server = Server(replies)
    threading.Thread(target=server.read, args=(requests, lambda: os._exit(0)), daemon=True).start()
    implementations = [Implementation(LOG, log), *(Implementation(each, globals()[each.name]) for each in TOLD)]
    server.serve_forever(implementations)


if __name__ == "__main__":
    main()
