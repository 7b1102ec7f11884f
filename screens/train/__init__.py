"""The mode Train: a new run's settings, then its live curves, numbers and samples.

Begin with `train_screen`; `compare` and `one_step` open from it.
"""
