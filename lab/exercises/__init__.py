"""Exercises: functions that a learner writes, from counting pairs to sampling, checked on real weights.

Begin with `exercise`: what one is made of. `learner_files` are the learner's; `check` runs one, in the process that
`check_process` is, and the learner's code in one for itself, `own_process`. `your_model` is the model that uses what passes.
Imports `models`, `lab.core`, `lab.views`, `lab.data`, `lab.runs` and `lab.lessons`.
"""
