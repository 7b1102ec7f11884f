"""Evaluation of a run's model: validation loss and bits per byte, during training and at its end, and samples of text."""

import math
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

from lab.core.errors import UserError, free_memory, is_out_of_memory
from lab.data.data_order import ValidationWindows, counted_targets
from lab.data.token_file import Ids, TokenFile, count_bytes, token_lengths
from lab.data.train_val_split import FINAL_BYTES, Ranges
from lab.planning.text_difficulty import keep_outcome
from lab.runs import weights_file
from lab.runs.run_schema import FinalEvaluation, RunConfig, Sample
from lab.training.run_logs import finite_or_none
from lab.training.status_file import StatusBoard
from lab.training.training_setup import TrainingSetup
from models.config import SamplingSettings
from models.decoding import half_matrices
from models.gpt import GPT
from models.sampling import generate
from models.tokenizers.tokenizer import Tokenizer

TOKENS_AT_ONCE = 4096
"""Tokens of one forward pass, about: large enough to keep the cores busy, small enough to take commands in between."""


class Evaluator:
    """Evaluator on a fixed set of tokens, in fp32 whatever the precision of training."""

    def __init__(self, config: RunConfig, tokens: TokenFile, token_bytes: Ids, *, final: bool = False) -> None:
        """`token_bytes` is the length in bytes of each token, by id; `final` asks for the evaluation at the end of the run.

        Raises:
            UserError: if config.json does not say what to evaluate on.
        """
        model, data = config.model, config.data
        batch = max(1, TOKENS_AT_ONCE // model.context)
        ranges = evaluated_ranges(config)
        if final:  # in a run from before they were kept, the first `FINAL_BYTES` validation tokens
            ranges = data.final.tokens if data.final else ((data.split, min(data.tokens, data.split + FINAL_BYTES)),)
        self._windows = ValidationWindows(tokens, data.split, data.tokens, model.context, batch, ranges)
        self.tokens = self._windows.tokens
        """Tokens predicted in one evaluation."""
        self.bytes = sum(count_bytes(tokens, token_bytes, start, stop) for start, stop in ranges)

    def evaluate(self, model: GPT, step: int, between: Callable[[], None]) -> FinalEvaluation:
        """Loss and bits per byte of the weights of a step, on fewer windows at once where memory does not suffice.

        `between` is called after each batch, and may raise to break off; the model is in training mode again afterwards.
        """
        while True:
            try:
                return self._evaluate(model, step, between)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error) or not self._windows.halve():
                    raise
            free_memory(model.wte.weight.device)  # only here the exception, and with it what the attempt had allocated, is gone

    def _evaluate(self, model: GPT, step: int, between: Callable[[], None]) -> FinalEvaluation:
        device = model.wte.weight.device
        total = 0.0
        try:
            for ids, targets in self._windows:
                model.eval()
                with torch.inference_mode(), full_precision():
                    mean = model.loss(torch.from_numpy(ids).to(device), torch.from_numpy(targets).to(device))
                total += float(mean) * counted_targets(targets)
                between()
        finally:
            model.train()
        loss, bits = finite_or_none(total / self.tokens, 6), finite_or_none(total / math.log(2) / self.bytes, 6)
        return FinalEvaluation(step=step, tokens=self.tokens, bytes=self.bytes, val_loss=loss, bits_per_byte=bits)


def evaluated_ranges(config: RunConfig) -> Ranges:
    """Token ranges of the evaluations during training.

    In a run from before they were kept, these are whole windows from the start of the validation part, for about a tenth of the
    time of the steps in between.
    """
    train, context, data = config.train, config.model.context, config.data
    if data.evaluated is not None:
        return data.evaluated.tokens
    most = max(16 * context, round(0.3 * train.eval_every * train.batch * context))
    return ((data.split, min(data.tokens, data.split + most // context * context)),)


@contextmanager
def full_precision() -> Iterator[None]:
    """Multiply fp32 matrices in fp32, and not in TF32 or bf16, where torch was allowed to."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def evaluate_final_weights(setup: TrainingSetup, board: StatusBoard, between: Callable[[], None]) -> None:
    """Evaluate the last and the best weights and put the results into the status. `between` may raise to break off.

    Everything else is saved by now and stays as it is: being interrupted costs this evaluation alone, made anew on resuming.
    """
    run, state = setup.run, setup.state
    evaluator = Evaluator(run.config, setup.tokens, token_lengths(setup.tokenizer), final=True)
    share = "all" if evaluator.bytes == run.config.data.val_bytes else "a large sample"
    board.update(message=f"Training is done; the weights are evaluated on {share} of the validation part.")
    last = evaluator.evaluate(setup.trained.model, state.step, between)
    best: FinalEvaluation | None = last
    if state.best_step not in (None, state.step):
        try:
            model, step = weights_file.load_model(run, "best", str(setup.device))
        except UserError as error:  # damaged on the disk meanwhile: the last weights are good
            sys.stderr.write(f"{error}\n")  # trainer.log
            best = None
        else:
            model.set_attention_kernel(state.attention)
            best = evaluator.evaluate(model, step, between) if step == state.best_step else None  # its file is missing
    board.update(final=last, final_best=best)
    keep_outcome(run.config, board.status, run.path.parent)


TEMPERATURE = 0.8
"""A little below 1, so that samples are in the manner of the text while the model is still poor."""


def write_samples(model: GPT, tokenizer: Tokenizer, config: RunConfig, step: int, prompts: tuple[str, ...]) -> Iterator[Sample]:
    """Generate a text after each prompt. The same weights at the same step give the same texts.

    The model is in training mode again afterwards.
    """
    sampling = SamplingSettings(temperature=TEMPERATURE, seed=(config.train.seed * 1_000_003 + step) % 2**64)
    halves = half_matrices(model)
    for prompt in prompts:
        ids = tokenizer.encode(prompt) or tokenizer.encode("\n")
        drawn = [token.id for token in generate(model, ids, config.train.sample_tokens, sampling, halves)]
        yield Sample(step=step, prompt=prompt, text=tokenizer.decode(drawn))
