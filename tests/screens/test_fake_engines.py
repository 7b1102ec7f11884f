"""The fake engines take what the real one takes, and refuse what it refuses."""

from typing import Any

import msgspec
import pytest

from lab.engine.method_registry import METHODS, OPEN, VIEW, AnyMethod, OpenParams, ViewParams
from tests.screens.fake_wire import received_params
from tests.screens.inspect.conftest import FakeEngine as InspectEngine
from tests.screens.train.one_step_engine import FakeEngine as OneStepEngine


@pytest.mark.parametrize("engine", [InspectEngine(), OneStepEngine()], ids=["inspect", "one step"])
async def test_a_misspelled_parameter_is_refused(engine: Any) -> None:
    with pytest.raises(msgspec.ValidationError, match="unknown field `chekpoint`"):
        await engine.call(OPEN, {"run": "tale", "chekpoint": "best"})
    with pytest.raises(TypeError, match="chekpoint"):
        OpenParams(run="tale", chekpoint="best")  # type: ignore[call-arg]


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_every_method_refuses_parameters_that_it_does_not_have(method: AnyMethod) -> None:
    needed = {
        field.name: "1" if field.type is str else 1
        for field in msgspec.structs.fields(method.params)
        if field.required and field.name != "kind"
    }
    needed |= {"kind": "npz"} if "kind" in method.params.__struct_fields__ else {}
    assert isinstance(received_params(method, needed), method.params)
    with pytest.raises(msgspec.ValidationError, match="unknown field `strange`"):
        received_params(method, {**needed, "strange": 1})


def test_parameters_arrive_as_they_were_sent() -> None:
    sent = ViewParams(run="tale", ids=(1, 2), stage="scores", layer=1)
    assert received_params(VIEW, sent) == sent
