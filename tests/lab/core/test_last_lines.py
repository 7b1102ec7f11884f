from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.core.safe_open import last_text_line, lines_backwards


@given(st.lists(st.binary(max_size=5).filter(lambda line: b"\n" not in line), max_size=12), st.integers(6, 9))
def test_lines_come_backwards_whatever_the_block(
    tmp_path_factory: pytest.TempPathFactory, lines: list[bytes], block: int
) -> None:
    path = tmp_path_factory.mktemp("lines") / "lines"
    path.write_bytes(b"".join(line + b"\n" for line in lines) + b"torn")
    with pytest.MonkeyPatch.context() as patch, path.open("rb") as file:
        patch.setattr("lab.core.safe_open.BLOCK_BYTES", block)
        found = list(lines_backwards(file))
    wanted = lines[::-1]
    assert found == wanted or (found == wanted[:-1] and wanted[-1] == b""), "an empty first line may be left out"


def test_the_last_line_of_a_log_is_the_last_that_is_not_blank(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"from before\nthe reason \n\n")
    with path.open("rb") as file:
        assert last_text_line(file) == "the reason"
        assert last_text_line(file, len("from before\nthe reason \n")) == ""
        assert last_text_line(file, most=3) == "", "only so many bytes are read"
