"""Warm-up of an engine that nobody waits for: the first answer imports much that PyTorch loads late."""

from lab.core.errors import UserError
from lab.engine.method_registry import LensParams, ViewParams
from lab.engine.prompt_methods import PromptMethods
from lab.inspect.model_cache import ModelCache
from lab.runs.home_folder import demo
from models.unembed import finish

RUN, PROMPT = "demo", "Once"
"""The model that ships with the lab: it is small, and nobody renames it."""


def answer_once() -> None:
    """Open the demo, trace a word and throw all of it away."""
    import torch

    torch.set_grad_enabled(False)  # of this thread
    models = ModelCache()
    methods = PromptMethods(models)
    try:
        finish(methods.lens(LensParams(run=RUN, checkpoint="best", text=PROMPT)))
        finish(methods.view(ViewParams(run=RUN, checkpoint="best", text=PROMPT, stage="scores")))
    except UserError:
        return  # a lab without its demo: whoever opens a run there waits for the rest
    finally:
        models.release(demo())
