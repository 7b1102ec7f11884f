"""The three-weight network against torch's autograd, and its printed arithmetic against itself."""

import math
import re

import pytest
import torch

from lab.training.one_step.three_weights import FARTHEST, ThreeWeights, backward_view, forward_view, steps_view
from lab.views.blocks import Table

NETS = [
    ThreeWeights(),
    ThreeWeights(w1=-1.3, w2=2.1, w3=0.7, x=-0.4, target=-2.0),
    ThreeWeights(w1=0.0, w2=0.5, w3=9.0, x=3.0, target=0.0),
    ThreeWeights(w1=0.01, w2=-0.02, w3=FARTHEST, x=FARTHEST, target=-FARTHEST),
]


def autograd(net: ThreeWeights) -> tuple[float, list[float]]:
    weights = torch.tensor([net.w1, net.w2, net.w3], dtype=torch.float64, requires_grad=True)
    with torch.enable_grad():
        y = weights[2] * torch.tanh(weights[1] * torch.tanh(weights[0] * net.x))
        loss = (y - net.target) ** 2
    loss.backward()  # type: ignore[no-untyped-call]
    assert weights.grad is not None
    return float(loss.detach()), weights.grad.tolist()


@pytest.mark.parametrize("net", NETS)
def test_loss_and_gradient_are_those_of_autograd(net: ThreeWeights) -> None:
    loss, gradient = autograd(net)
    assert net.loss == pytest.approx(loss, rel=1e-12)
    assert list(net.gradient) == pytest.approx(gradient, rel=1e-10, abs=1e-14)


def test_a_step_is_that_of_torch_s_gradient_descent() -> None:
    net, lr = ThreeWeights(), 0.1
    weights = torch.tensor([net.w1, net.w2, net.w3], dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.SGD([weights], lr=lr)
    for _ in range(50):
        net = net.after_step(lr)
        optimizer.zero_grad()
        with torch.enable_grad():
            loss = (weights[2] * torch.tanh(weights[1] * torch.tanh(weights[0] * net.x)) - net.target) ** 2
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    assert [net.w1, net.w2, net.w3] == pytest.approx(weights.tolist(), rel=1e-9)
    assert net.loss < ThreeWeights().loss


@pytest.mark.parametrize("net", NETS)
def test_the_printed_numbers_give_the_printed_results(net: ThreeWeights) -> None:
    rows = [row for view in (forward_view(net), backward_view(net)) for block in view.blocks for row in tables(block).rows]
    checked = 0
    for row in rows:
        numbers, result = row[2].text, row[3].text
        if not numbers:
            continue
        code = re.sub(r"²", "**2", numbers.replace("−", "-").replace("×", "*").replace("tanh", "math.tanh"))
        value = eval(code, {"math": math})  # our own printed arithmetic
        shown = float(result.replace("−", "-").lstrip("<>"))
        assert value == pytest.approx(shown, abs=1.0001e-4, rel=1e-4), (numbers, result)
        checked += 1
    assert checked == 4 + 3 + 4


def tables(block: object) -> Table:
    assert isinstance(block, Table)
    return block


def test_the_steps_are_listed_with_their_losses() -> None:
    history = [ThreeWeights()]
    for _ in range(10):
        history.append(history[-1].after_step(0.1))
    view = steps_view(history, 0.1)
    assert view.title == "10 steps taken"
    update, losses = (tables(block) for block in view.blocks)
    assert update.rows[0][1].value == history[-1].w1
    assert update.rows[0][3].value == history[-1].after_step(0.1).w1
    assert [row[0].text for row in losses.rows] == ["0", "6", "7", "8", "9", "10"]
    assert [row[1].value for row in losses.rows] == [history[at].loss for at in (0, 6, 7, 8, 9, 10)]


def test_a_rate_far_too_high_is_noticed() -> None:
    net = ThreeWeights(w3=5.0)
    for _ in range(200):
        if net.is_too_large:
            break
        net = net.after_step(10.0)
    assert net.is_too_large
    assert math.isfinite(net.loss)
    assert not ThreeWeights().is_too_large
