"""Exercises: functions that a learner writes, from counting pairs to sampling, checked on real weights.

Begin with `exercise`: what one is made of. `check` runs a learner's file, `check_process` is the process that it runs in.
`your_model` is the model that uses what passes. Imports `models`, `lab.core`, `lab.views`, `lab.data`,
`lab.runs` and `lab.lessons`.
"""
