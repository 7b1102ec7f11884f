"""The mode Inspect."""

from screens.base import LabScreen


class InspectScreen(LabScreen):
    """The mode Inspect."""

    MODE = "inspect"
