"""Apple's GPU has no float64: what leaves it is widened on the CPU. Without such a GPU its tensors are stood in for."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from lab.data.token_file import TokenFile, token_dtype
from lab.runs.run_folder import Run
from lab.training.evaluation.model_insights import ModelInsights
from models.gpt import GPT
from models.sampling import distribution
from models.sampling_settings import SamplingSettings
from models.tokenizers.tokenizer import Tokenizer


class OnApple(Tensor):
    """A tensor that refuses what torch's MPS refuses."""

    def double(self, *_: Any, **__: Any) -> Tensor:
        raise TypeError("Cannot convert a MPS Tensor to float64 dtype as the MPS framework doesn't support float64.")

    def to(self, *arguments: Any, **named: Any) -> Tensor:
        if torch.float64 in (*arguments, *named.values()):
            self.double()
        return super().to(*arguments, **named)

    def cpu(self, *_: Any, **__: Any) -> Tensor:
        return self.as_subclass(Tensor)


def test_what_training_measures_is_widened_on_the_cpu(tiny_run: Callable[..., Run], monkeypatch: pytest.MonkeyPatch) -> None:
    run = tiny_run()
    model = GPT(run.config.model, seed=1)
    insights = ModelInsights(run.config, TokenFile(run.tokens_path, token_dtype(256)), Tokenizer.load(run.tokenizer_path))
    expected = insights.measure(model, 1, [])
    unembed = GPT.unembed
    monkeypatch.setattr(GPT, "unembed", lambda self, x: unembed(self, x).as_subclass(OnApple))
    found = insights.measure(model, 1, [])
    assert (found.top, found.places) == (expected.top, expected.places)
    assert found.top
    assert found.places


def test_sampling_widens_logits_on_the_cpu() -> None:
    logits = torch.tensor([0.5, -1.0, 2.0])
    found = distribution(logits.as_subclass(OnApple), SamplingSettings())
    assert torch.equal(found.after, distribution(logits, SamplingSettings()).after)
