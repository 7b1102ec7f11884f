import pytest

from lab.core.errors import UserError
from lab.runs.home_folder import check_name


@pytest.mark.parametrize("name", ["", ".hidden", "-p", "a/b", "a\\b", "a\nb", " a", "a" * 101, "罪" * 100, "demo", ".."])
def test_names_that_no_run_may_have(name: str) -> None:
    with pytest.raises(UserError):
        check_name(name)


def test_names_that_a_run_may_have() -> None:
    for name in ("tinyshakespeare", "tiny-2", "Ulysses (1922)", "罪と罰", "a.b"):
        assert check_name(name) == name
