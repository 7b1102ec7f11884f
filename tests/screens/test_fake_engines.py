"""Parameters of the engine's methods: one that a method does not have is refused, by the real engine and the fake ones."""

from typing import Any

import msgspec
import pytest

from lab.engine import method_registry
from lab.engine.method_registry import EngineMethod
from tests.screens.fake_wire import received_params

METHODS = [each for each in vars(method_registry).values() if isinstance(each, EngineMethod)]


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_every_method_refuses_parameters_that_it_does_not_have(method: EngineMethod[Any, Any]) -> None:
    needed = {
        field.name: "1" if field.type is str else 1
        for field in msgspec.structs.fields(method.params)
        if field.required and field.name != "kind"
    }
    needed |= {"kind": "npz"} if "kind" in method.params.__struct_fields__ else {}
    assert isinstance(received_params(method, needed), method.params)
    with pytest.raises(msgspec.ValidationError, match="unknown field `strange`"):
        received_params(method, {**needed, "strange": 1})
