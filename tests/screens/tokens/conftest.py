"""Tokens as the first mode, and the wait for its page in sight."""

from textual.pilot import Pilot

from screens.tokens.tokens_screen import TokensScreen
from tests.screens.mode_app import ModeApp
from tests.screens.pilot_waits import wait_until


class TokensApp(ModeApp):
    FIRST_MODE = "tokens"


def screen_of(pilot: Pilot[None]) -> TokensScreen:
    screen = pilot.app.screen
    assert isinstance(screen, TokensScreen)
    return screen


async def settle(pilot: Pilot[None]) -> None:
    """Wait until the page in sight has answered."""
    await wait_until(pilot, lambda: screen_of(pilot).is_settled)
