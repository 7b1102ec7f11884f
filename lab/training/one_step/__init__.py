"""One training step taken apart: loss, gradients, the optimizer's formula, the changes of the weights, the probabilities after.

Begin with `training_step`; `step_stages` lists the views, a file each. Imports `models`, `lab.core`, `lab.views`, `lab.runs`,
`lab.data`, `lab.planning` and `lab.training`.
"""
