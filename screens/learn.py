"""The mode Learn."""

from screens.base import LabScreen


class LearnScreen(LabScreen):
    """The mode Learn."""

    MODE = "learn"
