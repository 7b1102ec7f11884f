"""The mode Home."""

from screens.base import LabScreen


class HomeScreen(LabScreen):
    """The mode Home."""

    MODE = "home"
