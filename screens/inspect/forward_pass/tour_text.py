"""Sentences of the tour: one for each stage, about the selected layer, head and token."""

from collections.abc import Sequence

from lab.core.number_format import probability, significant, whole
from lab.inspect.interventions import Intervention, all_in_words
from lab.views.blocks import LensPath, ModelFacts, StageEntry
from screens.inspect.forward_pass.model_in_view import changed_groups
from screens.inspect.selection import Selection

ENDING_A_PART = ("embed", "resid_mid", "resid_post")
"""Stages after which the residual stream is as the part leaves it."""
IN_EVERY_LAYER = ("resid_mid", "resid_post")
"""Stages shown of the layers after the first of a tour."""


def tour_stops(steps: Sequence[StageEntry], first: int) -> list[int]:
    """Indices of the steps from `first` on: all, but of layers after the first one only what they add to the stream."""
    layers = [step.layer for step in steps[first:] if step.layer is not None]
    whole_layer = layers[0] if layers else None
    return [
        index
        for index, step in enumerate(steps)
        if index >= first and (step.layer in (None, whole_layer) or step.stage in IN_EVERY_LAYER)
    ]


def tour_sentence(step: StageEntry, selection: Selection, facts: ModelFacts, path: LensPath) -> str:
    """One sentence on a stage; where an intervention changes it, on that."""
    changing = [each for each in selection.interventions if _changes(each, step)]
    if changing:
        return f"Changed here: {all_in_words(changing)}."
    layer, head, width = f"layer {selection.layer + 1}", selection.head + 1, whole(facts.width)
    vocabulary = whole(facts.vocab_size)
    match step.stage:
        case "tokens":
            cut = (
                f"The prompt is cut into {_counted(path.dropped + len(path.tokens), 'token')} out of a vocabulary of {vocabulary}"
            )
            return f"{cut}; the model sees the last {whole(len(path.tokens))}." if path.dropped else f"{cut}."
        case "embed":
            return f"The token's row of the embedding table, {width} numbers, plus the row of its position starts the stream."
        case "neighbours":
            return "Of all tokens, these have the embeddings nearest in direction to this one's."
        case "positions":
            return f"Each of the {whole(facts.context)} positions has a vector of its own, learned in training."
        case "ln1":
            return f"LayerNorm normalizes a copy of the stream for the attention of {layer}."
        case "qkv":
            return f"Three matrices make a query, a key and a value of it for each of {_counted(facts.heads, 'head')}."
        case "matrix":
            return f"Each row is a token, and shows how head {head} divides its attention among the tokens up to it."
        case "scores":
            return "Softmax turns the query's products with the keys into weights that add up to 100%."
        case "heads":
            return f"{layer.capitalize()} has {_counted(facts.heads, 'head')}, each with {facts.width // facts.heads} dimensions."
        case "thumbnails":
            return f"The model has {facts.layers} × {facts.heads} heads; each picture is the attention of one."
        case "values":
            return f"Head {head} puts out the sum of the tokens' values, weighted by its attention."
        case "attn_out":
            return f"The outputs of {_counted(facts.heads, 'head')} are joined and projected to {width} numbers."
        case "ln2":
            return f"LayerNorm normalizes a copy of the stream for the MLP of {layer}."
        case "mlp":
            return f"The MLP goes from {width} numbers to {whole(4 * facts.width)} neurons, through GELU, and back."
        case "neurons":
            return "These neurons are the strongest at this token, with the tokens that they promote and suppress."
        case "ln_final":
            return "The last LayerNorm normalizes the stream for the comparison with every token's embedding."
        case "lens":
            return "Every row is a token; each column shows what the model would predict after it if it stopped at that layer."
        case "cache":
            return "With the keys and values of these tokens kept, the next one needs only its own computed."
    return _of_numbers(step, path)


def _changes(made: Intervention, step: StageEntry) -> bool:
    """True if an intervention is on the part of the model that a stage belongs to; on the stream, only where the part ends."""
    is_in_part = step.group in changed_groups((made,))
    return is_in_part and (step.stage in ENDING_A_PART or not made.part.startswith("resid"))


def _of_numbers(step: StageEntry, path: LensPath) -> str:
    """The sentence of a stage that has a prediction, from its numbers; "" where they are missing."""
    if step.lens is None:
        return ""
    says = f"“{step.lens.label}” ({probability(step.lens.probability)})"
    if step.added is not None:
        part = "attention" if step.stage == "resid_mid" else "MLP"
        adds = f"Layer {(step.layer or 0) + 1}'s {part} adds a vector of norm {significant(step.added)}"
        return f"{adds}; if the model stopped here, it would predict {says}."
    if step.stage == "sample":
        return f"With these settings and this seed, {says} is drawn as token {path.position + 2}."
    return f"Softmax over the logits of all tokens makes {says} the most probable."


def _counted(n: int, noun: str) -> str:
    return f"{whole(n)} {noun}{'' if n == 1 else 's'}"
