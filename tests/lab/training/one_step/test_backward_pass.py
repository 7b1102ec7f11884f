"""The picture of the backward pass, held to gradients that autograd finds another way and to the other stages."""

import math
from dataclasses import replace

import pytest
import torch
from torch.nn.functional import cross_entropy

from lab.runs.run_folder import Run
from lab.training.one_step.backward_pass import backward_pass
from lab.training.one_step.view_context import StepContext
from models.tokenizers.tokenizer import Tokenizer
from tests.lab.training.one_step.taken_steps import StepAsker, at_next_batch, at_sentence


def test_the_stream_s_gradients_are_those_of_a_stream_that_is_cut_and_made_a_leaf(trained: Run) -> None:
    step = at_sentence(trained)
    step.go_to(0)
    model = step.model.eval()
    layers = model.config.layers
    ids, targets = (torch.from_numpy(part) for part in (step.batch.ids, step.batch.targets))
    start = (model.wte(ids) + model.wpe.weight[: ids.shape[1]]).detach()
    for cut in range(2 * layers + 1):
        x = start
        with torch.enable_grad():
            for half in range(2 * layers + 1):
                if half == cut:
                    x = leaf = x.detach().requires_grad_()
                if half == 2 * layers:
                    break
                block = model.blocks[half // 2]
                x = x + (block.mlp(block.ln_2(x)) if half % 2 else block.attn(block.ln_1(x), None, half // 2))
            loss = cross_entropy(model.unembed(model.ln_f(x)).flatten(0, 1), targets.flatten())
            (gradient,) = torch.autograd.grad(loss, leaf)
        name = (
            f"blocks.{layers - 1}.resid_post" if cut == 2 * layers else f"blocks.{cut // 2}.resid_{'mid' if cut % 2 else 'pre'}"
        )
        assert step.gradients.stream[name] == pytest.approx(float(gradient.norm()), rel=1e-4)
    assert len(step.gradients.stream) == 2 * layers + 1


def test_the_norms_of_a_batch_in_parts_are_those_of_the_whole(trained: Run) -> None:
    whole, parts = at_next_batch(trained), at_next_batch(trained)
    for step, count in ((whole, 1), (parts, 2)):
        step.batch = replace(step.batch, step=None, micro_batches=count)  # without a step there is no dropout
    whole.go_to(0)
    parts.go_to(0)
    assert parts.gradients.stream == pytest.approx(whole.gradients.stream, rel=1e-4)


def test_it_goes_from_the_final_norm_to_the_embeddings_with_the_numbers_of_the_other_stages(trained: Run) -> None:
    step = at_next_batch(trained)
    step.go_to(0)
    norms = [step.model.ln_f, *(norm for block in step.model.blocks for norm in (block.ln_1, block.ln_2))]
    assert not any(norm._forward_pre_hooks for norm in norms), "nothing watches the model afterwards"
    context = StepContext(step, Tokenizer.load(trained.tokenizer_path), 0, 3)
    picture = backward_pass(context)
    layers = step.model.config.layers
    names = [f"{layer} {kind}" for layer in range(layers, 0, -1) for kind in ("MLP", "attention")]
    assert [part.name for part in picture.parts] == ["final norm", *names, "position embedding", "token embedding"]
    attention = [
        float(w.grad.norm()) for name, w in step.parameters.items() if name.startswith("h.0.attn") and w.grad is not None
    ]
    expected = math.hypot(*attention) / step.gradients.factor
    assert next(part.weights for part in picture.parts if part.name == "1 attention") == pytest.approx(expected, rel=1e-4)
    assert (picture.parts[-1].stream, picture.parts[-3].stream) == (None, step.gradients.stream["blocks.0.resid_pre"])
    p = context.probabilities()
    assert picture.errors[0].value == pytest.approx(p[context.target] - 1)
    assert sum(error.value for error in picture.errors) == pytest.approx(0.0, abs=1e-9)
    assert [error.is_rest for error in picture.errors] == [False] * (len(picture.errors) - 1) + [True]
    assert picture.own == pytest.approx(-math.log(p[context.target]), rel=1e-5)
    assert picture.weight is None, "its changes are not found yet"
    step.preview()
    weight = backward_pass(context).weight
    assert weight is not None
    assert (weight.ref, weight.after) == (step.changes.largest[0].ref, step.changes.largest[0].after)


def test_the_weight_is_in_the_picture_once_the_changes_were_asked_for(trained: Run) -> None:
    ask = StepAsker(trained)
    first = ask(stage="backward")
    assert first.backward is not None
    assert first.backward.weight is None
    ask(stage="changes")
    later = ask(stage="backward")
    assert later.backward is not None
    assert later.backward.weight is not None
    assert later.backward.parts == first.backward.parts
