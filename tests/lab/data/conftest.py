"""Token files to test with."""

import numpy as np
import pytest

from lab.data.token_file import TokenFile, token_dtype
from tests.fixture_types import MakeTokens


@pytest.fixture(scope="module")
def make_tokens(tmp_path_factory: pytest.TempPathFactory) -> MakeTokens:
    """The tokens 0, 1, 2 ..., so that a window's ids say where it lies."""
    path = tmp_path_factory.mktemp("tokens") / "tokens.bin"
    path.write_bytes(np.arange(5000, dtype="<u2").tobytes())

    def make(count: int) -> TokenFile:
        tokens = TokenFile(path, token_dtype(5000))
        tokens.ids = tokens.ids[:count]
        return tokens

    return make
