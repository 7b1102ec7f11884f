"""The table of methods and the implementations behind it are one to one."""

import io
from typing import Any

import pytest

from lab.engine.method_bindings import implementations
from lab.engine.method_registry import METHODS, RELEASE, EngineMethod, ReleaseParams
from lab.engine.server import Server, implement, implementations_by_name
from lab.inspect.model_cache import ModelCache


def test_every_method_of_the_table_is_implemented() -> None:
    names = [method.name for method in METHODS]
    assert len(set(names)) == len(names)
    assert list(implementations_by_name(METHODS, implementations(ModelCache()))) == names


@pytest.mark.parametrize(
    ("methods", "words"),
    [((RELEASE, EngineMethod("forgotten", ReleaseParams, bool)), "forgotten has no"), ((), "release, w")],
)
def test_the_server_refuses_to_start_where_table_and_implementations_differ(methods: tuple[Any, ...], words: str) -> None:
    with pytest.raises(LookupError, match=words):
        Server(io.BytesIO()).serve_forever(methods, [implement(RELEASE, lambda params: True)])
