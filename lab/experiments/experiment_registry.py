"""The experiments by name. To add one, write its function and a line here.

An experiment is a function of the context that returns its result, or `Slices` of it where it takes longer than some
hundredths of a second: it then yields often, so that other requests are served meanwhile and a newer one can take its place.
"""

from collections.abc import Callable

from lab.core.errors import UserError
from lab.experiments.attention import causal_mask, norm_and_attention
from lab.experiments.changed_attention import keys_from_embeddings, word_order
from lab.experiments.context_window import forward_cost, loss_by_position, reach_of_window
from lab.experiments.experiment_context import ExperimentContext
from lab.experiments.experiment_result import ExperimentResult
from lab.experiments.generation import greedy_and_sampling, kv_cache, temperature
from lab.experiments.loss import gradient_descent, initial_loss, window_losses
from lab.experiments.prompt_to_token import lens_by_layer, nearest_rows, tied_table, whole_path
from lab.experiments.sizes import layer_parts, parameter_parts, parameters, positions, weights_in_use
from lab.experiments.softmax import softmax_changes, softmax_ratio
from lab.experiments.tokens import encode_and_decode, pieces, rules_alone, training_tokens, vocabulary, words_and_tokens
from models.unembed import Slices

Experiment = Callable[[ExperimentContext], ExperimentResult | Slices[ExperimentResult]]

TOKENS: dict[str, Experiment] = {
    "vocabulary": vocabulary,
    "encode_and_decode": encode_and_decode,
    "words_and_tokens": words_and_tokens,
    "training_tokens": training_tokens,
    "pieces": pieces,
    "rules_alone": rules_alone,
}
"""On text and tokens."""

FORWARD_PASS: dict[str, Experiment] = {
    "whole_path": whole_path,
    "lens_by_layer": lens_by_layer,
    "nearest_rows": nearest_rows,
}

NEXT_TOKEN: dict[str, Experiment] = {
    "window_losses": window_losses,
}

SIZES: dict[str, Experiment] = {
    "parameters": parameters,
    "parameter_parts": parameter_parts,
    "positions": positions,
    "layer_parts": layer_parts,
}
"""On the size and the parts of a model."""

ATTENTION: dict[str, Experiment] = {
    "causal_mask": causal_mask,
    "keys_from_embeddings": keys_from_embeddings,
    "norm_and_attention": norm_and_attention,
    "softmax_ratio": softmax_ratio,
    "softmax_changes": softmax_changes,
    "word_order": word_order,
}

GENERATION: dict[str, Experiment] = {
    "tied_table": tied_table,
    "greedy_and_sampling": greedy_and_sampling,
    "temperature": temperature,
    "kv_cache": kv_cache,
    "weights_in_use": weights_in_use,
}

LEARNING: dict[str, Experiment] = {
    "initial_loss": initial_loss,
    "gradient_descent": gradient_descent,
}

WINDOW: dict[str, Experiment] = {
    "loss_by_position": loss_by_position,
    "reach_of_window": reach_of_window,
    "forward_cost": forward_cost,
}
"""On the context window."""

EXPERIMENTS: dict[str, Experiment] = {
    **TOKENS,
    **FORWARD_PASS,
    **NEXT_TOKEN,
    **SIZES,
    **ATTENTION,
    **GENERATION,
    **LEARNING,
    **WINDOW,
}


def run_experiment(name: str, context: ExperimentContext) -> Slices[ExperimentResult]:
    """The result of an experiment. Raises: UserError: if there is none of that name, or it cannot be made on this run."""
    if name not in EXPERIMENTS:
        raise UserError(f"There is no experiment called {name}; the experiments are {', '.join(EXPERIMENTS)}.")
    found = EXPERIMENTS[name](context)
    return found if isinstance(found, ExperimentResult) else (yield from found)
