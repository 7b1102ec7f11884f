"""Old place of `load_model`, for one test; goes with its next change."""

from lab.runs.weights_file import load_model as load_model
