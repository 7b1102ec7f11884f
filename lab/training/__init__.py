"""The trainer process: training loop, checkpoints, rollback, and the commands that it takes.

Begin with `trainer` (the process), then `training_loop` and `training_setup`; `evaluation` and `model_insights` measure on the
way, `distributed` trains on several ranks; `job` is what other long work has in common. Upon it stand `scaling`, `posttraining`
and `one_step`, each a package of its own.
Imports `models`, `lab.core`, `lab.runs`, `lab.data` and `lab.planning`, and torch once a run is owned.
"""
