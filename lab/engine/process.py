"""The engine process, `python -P -m lab.engine.process`: holds the model and computes what Inspect shows.

It reads requests from its standard input and writes replies to its standard output (`lab.engine.protocol`). It ends when its
input closes, which happens however its parent dies. Whatever a library prints goes to standard error, the client's log.
"""

import faulthandler
import os
import sys
import threading
from typing import BinaryIO

from lab.core.errors import UserError
from lab.core.machine import cores, has_cuda
from lab.engine.client import LOW_PRIORITY
from lab.engine.method_registry import LensParams, ViewParams
from lab.engine.server import Server
from lab.planning.device import engine_threads
from lab.runs.home_folder import demo

RUN, PROMPT = "demo", "Once"
"""The model that ships with the lab: it is small, and nobody renames it."""


def answer_once() -> None:
    """Open the demo, trace a word and throw all of it away."""
    import torch

    from lab.engine.prompt_methods import PromptMethods
    from lab.inspect.model_cache import ModelCache

    torch.set_grad_enabled(False)  # of this thread
    models = ModelCache()
    methods = PromptMethods(models)
    try:
        methods.lens(LensParams(run=RUN, checkpoint="best", text=PROMPT))
        methods.view(ViewParams(run=RUN, checkpoint="best", text=PROMPT, stage="scores"))
    except UserError:
        return  # a lab without its demo: whoever opens a run there waits for the rest
    finally:
        models.release(demo())


NICE = 10
"""Niceness of the warm-up of an engine that nobody waits for."""


def claim_pipes() -> tuple[BinaryIO, BinaryIO]:
    """Take standard input and output for frames; from here on, prints go to standard error."""
    requests = os.fdopen(os.dup(0), "rb")
    replies = os.fdopen(os.dup(1), "wb")
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    return requests, replies


def warm_up() -> None:
    """Import what the engine needs, and answer about the demo once, in a thread of low priority, which Linux gives each thread:
    the engine's own stays normal."""
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICE)
    answer_once()


def main() -> None:
    requests, replies = claim_pipes()
    faulthandler.enable()
    server = Server(replies)
    # os._exit: the worker may be deep in a matrix product, and a process without a parent has no one to answer.
    reader = threading.Thread(target=server.read, args=(requests, lambda: os._exit(0)), name="requests", daemon=True)
    reader.start()

    if LOW_PRIORITY in sys.argv:
        loading = threading.Thread(target=warm_up, name="warm-up")
        loading.start()
        loading.join()
    import torch

    # Never in TF32, whatever the environment allows: a trace equals the model's own numbers.
    torch.set_float32_matmul_precision("highest")
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.set_num_threads(engine_threads(cores(), beside_gpu=has_cuda()))
    torch.set_grad_enabled(False)

    from lab.engine.method_bindings import implementations
    from lab.inspect.model_cache import ModelCache

    try:
        server.serve_forever(implementations(ModelCache()))
    except BrokenPipeError:
        os._exit(0)


if __name__ == "__main__":
    main()
