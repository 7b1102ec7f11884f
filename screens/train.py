"""The mode Train."""

from screens.base import LabScreen


class TrainScreen(LabScreen):
    """The mode Train."""

    MODE = "train"
