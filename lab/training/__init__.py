"""The trainer process: the training loop, evaluation, checkpoints, rollback, and the commands that it takes.

Begin with `trainer` (the process) and `training_loop`. Imports the packages up to `lab.planning`, and torch once a run is owned.
"""
