"""Text samples: continuations of the run's prompts at each evaluation."""

from collections.abc import Iterator

from lab.runs.run_schema import RunConfig, Sample
from models.gpt import GPT
from models.sampling import generate
from models.sampling_settings import SamplingSettings
from models.tokenizers.tokenizer import Tokenizer

TEMPERATURE = 0.8
"""A little below 1, so that samples are in the manner of the text while the model is still poor."""


def write_samples(model: GPT, tokenizer: Tokenizer, config: RunConfig, step: int, prompts: tuple[str, ...]) -> Iterator[Sample]:
    """Generate a text after each prompt. The same weights at the same step give the same texts.

    The model is in training mode again afterwards.
    """
    sampling = SamplingSettings(temperature=TEMPERATURE, seed=(config.train.seed * 1_000_003 + step) % 2**64)
    for prompt in prompts:
        ids = tokenizer.encode(prompt) or tokenizer.encode("\n")
        drawn = [token.id for token in generate(model, ids, config.train.sample_tokens, sampling)]
        yield Sample(step=step, prompt=prompt, text=tokenizer.decode(drawn))
