"""Gradient of the loss at each residual stream, watched during the model's own backward pass."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from models.gpt import GPT


@contextmanager
def stream_gradients(model: GPT, squares: dict[str, float]) -> Iterator[None]:
    """Add the squared norm of the gradient at every residual stream to `squares`, by the stream's name in the trace.

    A stream is the input of a norm, which branches off there, so that its gradient holds both ways back. Nothing is changed.
    """

    def watch(name: str) -> Callable[[Any, tuple[Tensor]], None]:
        def keep(gradient: Tensor) -> None:
            squares[name] = squares.get(name, 0.0) + float(gradient.double().square().sum())

        def before_norm(_: Any, inputs: tuple[Tensor]) -> None:
            if torch.is_grad_enabled() and inputs[0].requires_grad:
                inputs[0].register_hook(keep)  # type: ignore[no-untyped-call]

        return before_norm

    last = len(model.blocks) - 1
    hooks = [model.ln_f.register_forward_pre_hook(watch(f"blocks.{last}.resid_post"))]
    for layer, block in enumerate(model.blocks):
        hooks.append(block.ln_1.register_forward_pre_hook(watch(f"blocks.{layer}.resid_pre")))
        hooks.append(block.ln_2.register_forward_pre_hook(watch(f"blocks.{layer}.resid_mid")))
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
