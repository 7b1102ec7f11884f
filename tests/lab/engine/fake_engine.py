"""An engine over real pipes whose methods need no torch: what the tests of the client talk to. Run as a script."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Generator, Iterator

import msgspec

from lab.core.errors import UserError
from lab.engine.process import claim_pipes
from lab.engine.server import InSlices, Method, Server


class Params(msgspec.Struct):
    text: str = ""
    n: int = 0
    seconds: float = 0.0


served: list[str] = []


def echo(params: Params) -> str:
    served.append(params.text)
    return params.text


def slow(params: Params) -> str:
    time.sleep(params.seconds)
    return echo(params)


def log(params: Params) -> list[str]:
    return served


def count(params: Params) -> Iterator[int]:
    for i in range(params.n):
        served.append(f"count {i}")
        time.sleep(params.seconds)
        yield i


def sliced(params: Params) -> InSlices:
    def work() -> Generator[None, None, str]:
        for i in range(params.n):
            served.append(f"slice {i}")
            time.sleep(params.seconds)
            yield
        return params.text

    return InSlices(work())


def refuse(params: Params) -> None:
    raise UserError("There is no run called x; did you mean y?")


def fail(params: Params) -> None:
    raise ZeroDivisionError("division by zero")


def pollute(params: Params) -> str:
    print("python print")
    os.write(1, b"native print\n")
    subprocess.run([sys.executable, "-c", "print('print of a child')"], check=True)
    return "clean"


def die(params: Params) -> None:
    print("about to die of thirst", file=sys.stderr, flush=True)
    os._exit(7)


def main() -> None:
    requests, replies = claim_pipes()
    server = Server(replies)
    threading.Thread(target=server.read, args=(requests, lambda: os._exit(0)), daemon=True).start()
    functions = (echo, slow, log, count, sliced, refuse, fail, pollute, die)
    server.serve_forever({function.__name__: Method(Params, function) for function in functions})


if __name__ == "__main__":
    main()
