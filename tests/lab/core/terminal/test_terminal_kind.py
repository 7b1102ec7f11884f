"""Abilities of the terminal, as its environment tells them."""

import pytest

from lab.core.terminal import has_utf8, is_remote, places_text


@pytest.mark.parametrize(
    ("environment", "encoding", "expected"),
    [
        ({}, "utf-8", True),
        ({}, "ascii", False),
        ({}, "iso8859-1", False),
        ({"LC_ALL": "C"}, "utf-8", False),
        ({"LC_ALL": "POSIX", "LANG": "en_US.UTF-8"}, "utf-8", False),
        ({"LC_ALL": "de_DE.utf8@euro"}, "UTF-8", True),
        ({"LC_CTYPE": "UTF-8"}, "utf-8", True),
        ({"LANG": "en_US.UTF-8"}, "utf-8", True),
        ({"LANG": "en_US"}, "utf-8", False),
        ({"LANG": "C", "LC_CTYPE": "C.UTF-8"}, "utf-8", False),
        ({"LANG": "C", "LC_CTYPE": "en_US.UTF-8"}, "utf-8", True),
        ({"LC_ALL": "C", "PYTHONIOENCODING": "utf-8"}, "utf-8", True),
        ({"LANG": "en_US.UTF-8", "PYTHONIOENCODING": "ascii:strict"}, "ascii", False),
    ],
)
def test_utf8_is_what_the_locale_says(environment: dict[str, str], encoding: str, expected: bool) -> None:
    assert has_utf8(environment, encoding) is expected


def test_terminals_that_place_no_text() -> None:
    assert [places_text({"TERM": name}) for name in ("dumb", "unknown", "")] == [False] * 3
    assert not places_text({})
    assert all(places_text({"TERM": name}) for name in ("xterm", "screen", "tmux-256color", "linux"))


def test_ssh_is_remote() -> None:
    assert is_remote({"SSH_CONNECTION": "10.0.0.1 1 10.0.0.2 22"})
    assert is_remote({"SSH_TTY": "/dev/pts/3"})
    assert not is_remote({"SSH_CONNECTION": ""})
