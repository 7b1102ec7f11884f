"""The mode Data."""

from screens.base import LabScreen


class DataScreen(LabScreen):
    """The mode Data."""

    MODE = "data"
