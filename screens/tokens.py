"""The mode Tokens."""

from screens.base import LabScreen


class TokensScreen(LabScreen):
    """The mode Tokens."""

    MODE = "tokens"
