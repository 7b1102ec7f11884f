"""Final evaluation: the last and the best weights, on all of the validation part or a large sample of it."""

import sys
from collections.abc import Callable

from lab.core.errors import UserError
from lab.data.token_file import token_lengths
from lab.runs import weights_file
from lab.runs.run_schema import FinalEvaluation
from lab.training.evaluation.validation_loss import Evaluator
from lab.training.run_logs import finite_or_none
from lab.training.status_file import StatusBoard
from lab.training.training_setup import TrainingSetup
from models.gpt import GPT


def evaluate_final_weights(setup: TrainingSetup, board: StatusBoard, between: Callable[[], None]) -> None:
    """Evaluate the last and the best weights and put the results into the status. `between` may raise to break off.

    Everything else is saved by now and stays as it is: being interrupted costs this evaluation alone, made anew on resuming.
    """
    run, state = setup.run, setup.state
    evaluator = Evaluator(run.config, setup.tokens, token_lengths(setup.tokenizer), final=True)
    share = "all" if evaluator.bytes == run.config.data.val_bytes else "a large sample"
    board.update(message=f"Training is done; the weights are evaluated on {share} of the validation part.")
    last = _evaluate(evaluator, setup.trained.model, state.step, between)
    best: FinalEvaluation | None = last
    if state.best_step not in (None, state.step):
        try:
            model, step = weights_file.load_model(run, "best", str(setup.device))
        except UserError as error:  # damaged on the disk meanwhile: the last weights are good
            sys.stderr.write(f"{error}\n")  # trainer.log
            best = None
        else:
            model.set_attention_kernel(state.attention)
            best = _evaluate(evaluator, model, step, between)
    board.update(final=last, final_best=best)


def _evaluate(evaluator: Evaluator, model: GPT, step: int, between: Callable[[], None]) -> FinalEvaluation:
    found = evaluator.evaluate(model, between)
    loss, bits = finite_or_none(found.val_loss, 6), finite_or_none(found.bits_per_byte, 6)
    return FinalEvaluation(step=step, tokens=evaluator.tokens, bytes=evaluator.bytes, val_loss=loss, bits_per_byte=bits)
