"""Tokens as the first mode, and the wait for its page in sight."""

import asyncio

from textual.pilot import Pilot

from screens.app import LabApp
from screens.tokens.tokens_screen import TokensScreen
from tests.screens.pilot_waits import rows_of


class TokensApp(LabApp):
    DEFAULT_MODE = "tokens"


def screen_of(pilot: Pilot[None]) -> TokensScreen:
    screen = pilot.app.screen
    assert isinstance(screen, TokensScreen)
    return screen


async def settle(pilot: Pilot[None]) -> None:
    """Wait until the page in sight has answered."""
    for _ in range(4000):
        await pilot.pause(0)
        if screen_of(pilot).is_settled:
            break
        await asyncio.sleep(0.005)
    else:
        raise AssertionError("\n".join([f"the page {screen_of(pilot).page} does not settle; on screen:", *rows_of(pilot)]))
    await pilot.pause(0)
