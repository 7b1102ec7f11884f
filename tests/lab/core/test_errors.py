import pytest

from lab.core.errors import name_error


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (KeyError("a"), "KeyError: 'a'"),
        (ValueError(), "ValueError"),
        (RuntimeError("It is gone."), "RuntimeError: It is gone"),
        (RuntimeError("CUDA error: no kernel image\nSearch for it in\nthe manual."), "RuntimeError: CUDA error: no kernel image"),
        (
            RuntimeError("Error(s) in loading:\r\n\tMissing key(s): a.\n\tMore."),
            "RuntimeError: Error(s) in loading: Missing key(s): a",
        ),
    ],
)
def test_an_unexpected_error_has_one_line(error: Exception, words: str) -> None:
    assert name_error(error) == words
